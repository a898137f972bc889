"""The rendered book, opened in a browser as a reader would."""

import io
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image

from fa_core import claims, notebooks
from tests.book.conftest import AT_REST, PAGES
from tests.test_notebooks import BEYOND

# Markup of the theme, and (the last) of docutils' list of references: not ours to mend.
NOT_OURS = {"scrollable-region-focusable", "landmark-unique", "landmark-no-duplicate-banner", "aria-required-children"}


def test_the_first_page_leads_to_the_introduction(html):
    assert "book/introduction.html" in (html / "index.html").read_text()


def test_a_page_opens_from_the_disk_asks_for_nothing_else_and_complains_of_nothing(page):
    assert page.complaints == []
    assert [url for url in page.requested if not url.startswith(("file:", "data:", "blob:"))] == []
    assert page.locator("article h1").first.inner_text()
    # Every image is there, has a text beside it, and no mathematics is left unset.
    images = page.evaluate("""() => [...document.querySelectorAll("article img")].map(
        i => [i.getAttribute("src"), i.complete && i.naturalWidth > 0, (i.getAttribute("alt") || "").length])""")
    assert [src for src, there, alt in images if not there or alt <= 20] == []
    formulas = page.locator("article .math").count()
    assert page.locator("article .math mjx-container svg").count() >= formulas
    assert page.locator("article mjx-merror, article [data-mjx-error]").count() == 0


def test_a_notebooks_figures_are_numbered_and_its_verdicts_are_on_the_page_and_can_be_linked_to(page):
    if not page.name.startswith("notebooks/"):
        return
    name = page.name.split("/")[1]
    notebook = notebooks.read(notebooks.path(name))
    drawn = sum("image/png" in o.get("data", {}) for c in notebook.cells if c.cell_type == "code" for o in c.outputs)
    captions = page.locator("article figure figcaption").all_text_contents()
    assert len(captions) == drawn > 0
    assert all(re.match(r"Fig\. \d+", c.strip()) for c in captions)
    verdicts = notebooks.verdicts(notebook)
    assert page.locator("table.verdict").count() == len(verdicts)
    assert bool(verdicts) == (name not in BEYOND)
    for claim in (c for c in claims.ledger().values() if c.notebook == name):
        judged = page.locator(f"[id='judged-{claim.id}']")
        assert judged.count() == 1
        assert f"({claim.id})" in judged.inner_text()
        assert judged.is_visible(), "what judges a claim is in the main thread"
    linked = [a.get_attribute("href").split("#")[1] for a in page.locator(".verdicts a").all()]
    assert sorted(linked) == sorted(v["id"] for v in verdicts)


# ---- how a page is to be read, on any width and on paper

# What is wider than its place, with whether it can be scrolled there, by the keyboard too; but for what is folded, what only
# a screen reader says, and what ends in an ellipsis, for that is said in full elsewhere.
TOO_WIDE = """() => [...document.querySelectorAll("article *")].filter(e => e.clientWidth > 1 &&
        !e.closest("svg, select, mjx-assistive-mml, details:not([open]) > :not(summary)") &&
        e.scrollWidth > e.clientWidth + 2 && getComputedStyle(e).overflowX !== "visible" &&
        getComputedStyle(e).textOverflow !== "ellipsis").map(e => [
    `${e.tagName} ${e.className}: ${e.innerText.slice(0, 60)}`,
    ["auto", "scroll"].includes(getComputedStyle(e).overflowX) && e.tabIndex === 0 && e.classList.contains("scrolls")])"""


def seen_at(page, width: int):
    """The page at another width, once its script has looked at it."""
    page.set_viewport_size({"width": width, "height": 900})
    page.wait_for_timeout(400)  # the theme's script waits for 300 ms
    return page


def test_nothing_is_cut_on_a_wide_screen_and_a_phone_scrolls_no_page_sideways(page):
    try:
        for width in (1600, 1280):
            cut = seen_at(page, width).evaluate(TOO_WIDE)
            assert not cut, (width, cut)
        for width in (390, 360, 320):
            sideways = seen_at(page, width).evaluate("document.documentElement.scrollWidth")
            assert sideways <= width or (page.name, width) == ("book/api", 320), (width, sideways)
            lost = [what for what, scrolls in page.evaluate(TOO_WIDE) if not scrolls]
            assert lost == [], width
        stops = page.evaluate("""() => [...document.querySelectorAll("article .math, article mjx-container")].filter(
            e => e.tabIndex === 0 && !e.classList.contains("scrolls")).length""")
        assert stops == 0, "a formula is a tab stop only where it scrolls"
    finally:
        seen_at(page, 1280)


def test_icons_are_drawn_though_the_script_has_few(page_of, html):
    page = page_of("notebooks/02_linear")
    page.wait_for_function("document.querySelectorAll('svg.svg-inline--fa').length >= 10")
    assert page.locator("svg.svg-inline--fa g.missing").count() == 0
    assert (html / "_static" / "scripts" / "fontawesome.js").stat().st_size < 200_000


def test_all_pages_together_load_less_than_15_mb(browser, html):
    context, asked = browser.new_context(), set()
    context.on("request", lambda r: asked.add(urlsplit(r.url).path))
    for name in PAGES:
        page = context.new_page()
        page.goto((html / f"{name}.html").as_uri())
        page.close()
    context.close()
    files = {Path(unquote(path)) for path in asked}
    # In either colour scheme, for no picture is there that only the other shows.
    assert {f for f in (html / "_images").iterdir() if f.name != "readme.png"} <= files
    loaded = {f: f.stat().st_size for f in files if f.is_file()}
    largest = sorted(loaded, key=loaded.get)[-9:]
    assert sum(loaded.values()) < 15e6, (sum(loaded.values()), [(str(f.relative_to(html)), loaded[f]) for f in largest])


@pytest.mark.parametrize("name", ["book/introduction", "book/speed", "notebooks/02_linear"])
def test_a_figure_of_lines_is_drawn_in_vectors_for_a_light_and_for_a_dark_page(page_of, name):
    grounds = []
    for scheme in ("light", "dark"):
        picture = page_of(name, scheme=scheme).locator(f"article figure img.only-{scheme}:visible").first
        assert picture.get_attribute("src").endswith({"light": ".svg", "dark": ".svg#dark"}[scheme])
        shot = np.asarray(Image.open(io.BytesIO(picture.screenshot())).convert("L"), dtype=int)
        grounds.append(np.median(shot))
        assert np.abs(shot - grounds[-1]).max() > 150, "lines that are seen"
    assert grounds[0] > 240
    assert grounds[1] < 40


@pytest.mark.parametrize("name", ["book/errata", "book/equations"])
def test_on_a_phone_a_table_of_text_is_read_without_scrolling_it(page_of, name):
    page = page_of(name)
    named = "[...document.querySelectorAll('table.cards .column')].filter(e => e.getClientRects().length).length"
    assert page.evaluate(named) == 0
    for width in (390, 360, 320):
        seen_at(page, width)
        wide = page.evaluate("""() => [...document.querySelectorAll("article table")].map(t =>
            t.closest(".pst-scrollable-table-container")).filter(e => e.scrollWidth > e.clientWidth + 2).length""")
        assert wide == 0, width
    assert (page.evaluate(named) > 40) == (name == "book/errata")


def test_a_notebook_is_no_longer_than_one_reads(page):
    if page.name.startswith("notebooks/"):
        height = page.evaluate("document.documentElement.scrollHeight")
        assert height <= 10_000, f"{height} pixels at 1280, as opened"


def changed(page, place) -> int:
    """How many pixels of a place change when it gets the keyboard's focus."""
    page.keyboard.press("Shift")  # the keyboard is in use
    place.evaluate("e => e.scrollIntoView({ block: 'center' })")
    looks = []
    for focused in (False, True):
        if focused:
            place.evaluate("e => e.focus({ preventScroll: true })")
        box = place.bounding_box()
        clip = {"x": max(box["x"] - 4, 0), "y": box["y"] - 4, "width": box["width"] + 8, "height": box["height"] + 8}
        looks.append(np.asarray(Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB"), dtype=int))
    place.evaluate("e => e.blur()")
    return int((np.abs(looks[1] - looks[0]).max(axis=2) > 40).sum())


def test_the_focus_is_seen_on_formulas_and_on_outputs_that_scroll(page_of):
    page = page_of("notebooks/13_convergence", width=320)
    page.evaluate("document.querySelectorAll('article details').forEach(d => { d.open = true; })")
    seen_at(page, 320)
    for kind in ("div.math mjx-container", "span.math", "pre"):
        place = page.locator(f"article {kind}.scrolls:visible").first
        assert changed(page, place) > 150, kind
    page = page_of("book/speed", width=320)  # with a table of numbers
    seen_at(page, 320)
    assert changed(page, page.locator("article .pst-scrollable-table-container.scrolls:visible").first) > 150


def test_on_paper_everything_is_open_light_and_wraps(page_of):
    page = page_of("notebooks/02_linear", scheme="dark")
    closed = "document.querySelectorAll('article details:not([open])').length"
    assert page.evaluate(closed) > 5
    page.emulate_media(media="print", color_scheme="dark")
    page.wait_for_function(f"{closed} === 0")
    paper = page.evaluate("""() => ({ ground: getComputedStyle(document.body).backgroundColor,
        ink: getComputedStyle(document.querySelector("article p")).color,
        wraps: [...document.querySelectorAll("article pre")].every(p => getComputedStyle(p).whiteSpace === "pre-wrap"),
        dark: [...document.querySelectorAll("article img.only-dark")].some(i => i.getClientRects().length) })""")
    ground, ink = (sum(map(int, re.findall(r"\d+", paper[what])[:3])) for what in ("ground", "ink"))
    assert ground > 700 > 200 > ink
    assert paper["wraps"]
    assert not paper["dark"]
    page.emulate_media(media="screen", color_scheme="dark")
    page.wait_for_function(f"{closed} > 5")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_a_link_into_a_folded_section_opens_it(page_of):
    page = page_of("notebooks/02_linear")
    target = page.locator("[id='exercises'] li").first
    assert not target.is_visible()
    page.evaluate("document.querySelector('#exercises li').id = 'here'; location.hash = '#here'")
    page.wait_for_function("document.querySelector('#here').closest('details').open")
    assert target.is_visible()


def test_every_erratum_leads_to_the_place_that_shows_it(html):
    text = (html / "book" / "errata.html").read_text()
    links = re.findall(r'href="\.\./(notebooks/\w+\.html)#(erratum-[a-z0-9-]+)"', text)
    assert len(links) > 40
    for page, place in set(links):
        assert f'id="{place}"' in (html / page).read_text(), (page, place)


def test_theorems_and_proofs_are_set_as_such_and_numbered(page_of):
    page = page_of("notebooks/13_convergence")
    titles = page.locator("div.proof.theorem .admonition-title").all_text_contents()  # some are folded
    assert len(titles) >= 3
    assert all(re.match(r"\s*Theorem \d+", title) for title in titles)
    assert page.locator("div.proof.proof, div.proof.admonition.proof").count() >= 3


def test_search_finds_a_word_of_a_notebook(page_of):
    page = page_of("search", width=1280)
    page.goto(page.url + "?q=perturbation")
    page.wait_for_selector("#search-results li a", timeout=20_000)
    page.wait_for_function("document.querySelector('.search-summary')?.innerText.includes('finished')")
    assert any("02_linear" in (a.get_attribute("href") or "") for a in page.locator("#search-results li a").all())
    assert page.complaints == []  # such as that an excerpt cannot be fetched from the disk


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(page, scheme):
    page.evaluate(f"document.documentElement.dataset.theme = '{scheme}'")
    page.evaluate(AT_REST)
    try:
        found = Axe().run(page).response["violations"]
    finally:
        page.evaluate("document.documentElement.dataset.theme = 'light'")
    serious = [
        f"{v['id']}: {v['nodes'][0]['html'][:200]}"
        for v in found
        if v["impact"] in ("serious", "critical") and v["id"] not in NOT_OURS
    ]
    assert serious == []


def test_the_colour_scheme_is_the_readers(page_of):
    background = "getComputedStyle(document.body).backgroundColor"
    light, dark = (page_of("book/introduction", scheme=s).evaluate(background) for s in ("light", "dark"))
    brightness = [sum(map(int, re.findall(r"\d+", c)[:3])) for c in (light, dark)]
    assert brightness[0] > 600 > 200 > brightness[1]
