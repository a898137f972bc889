"""The rendered book, opened in a browser as a reader would."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe

from fa_core import claims, notebooks
from tests.book.conftest import PAGES

# Markup of the theme, and (the last) of docutils' list of references: not ours to mend.
NOT_OURS = {"scrollable-region-focusable", "landmark-unique", "landmark-no-duplicate-banner", "aria-required-children"}


def test_the_first_page_leads_to_the_introduction(html):
    assert "book/introduction.html" in (html / "index.html").read_text()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_from_the_disk_asks_for_nothing_else_and_complains_of_nothing(name, page_of):
    page = page_of(name)
    assert page.complaints == []
    assert [url for url in page.requested if not url.startswith(("file:", "data:", "blob:"))] == []
    assert page.locator("article h1").first.inner_text()
    # Every image is there, has a text beside it, and no mathematics is left unset.
    for image in page.locator("article img").all():
        assert image.evaluate("i => i.complete && i.naturalWidth > 0"), image.get_attribute("src")
        assert len(image.get_attribute("alt") or "") > 20, image.get_attribute("src")
    formulas = page.locator("article .math").count()
    assert page.locator("article .math mjx-container svg").count() >= formulas
    assert page.locator("article mjx-merror").count() == 0


@pytest.mark.parametrize("name", [f"notebooks/{n}" for n in notebooks.names()])
def test_a_notebooks_figures_are_numbered_and_its_verdicts_are_on_the_page(name, page_of):
    page = page_of(name)
    notebook = notebooks.read(notebooks.path(name.split("/")[1]))
    drawn = sum("image/png" in o.get("data", {}) for c in notebook.cells if c.cell_type == "code" for o in c.outputs)
    captions = page.locator("article figure figcaption").all_inner_texts()
    assert len(captions) == drawn > 0
    assert all(re.match(r"Fig\. \d+", c) for c in captions)
    assert page.locator("table.verdict").count() == len(notebooks.verdicts(notebook)) > 0


def test_every_erratum_leads_to_the_place_that_shows_it(html):
    text = (html / "book" / "errata.html").read_text()
    links = re.findall(r'href="\.\./(notebooks/\w+\.html)#(erratum-[a-z0-9-]+)"', text)
    assert len(links) > 40
    for page, place in set(links):
        assert f'id="{place}"' in (html / page).read_text(), (page, place)


def test_theorems_and_proofs_are_set_as_such_and_numbered(page_of):
    page = page_of("notebooks/13_convergence")
    titles = page.locator("div.proof.theorem .admonition-title").all_inner_texts()
    assert len(titles) >= 3
    assert all(re.match(r"Theorem \d+", title) for title in titles)
    assert page.locator("div.proof.proof, div.proof.admonition.proof").count() >= 3


def test_the_scorecard_has_every_claim_once_with_its_verdict(page_of):
    rows = [row.inner_text() for row in page_of("book/scorecard").locator("article tbody tr").all()]
    assert len(rows) == len(claims.ledger())
    reported = {v["id"]: v for n in notebooks.names() for v in notebooks.verdicts(notebooks.read(notebooks.path(n)))}
    for claim, row in zip(claims.ledger().values(), rows, strict=True):
        flat = " ".join(row.split()).replace("’", "'")  # Sphinx sets typographic quotes
        assert " ".join(claim.states.split()) in flat
        verdict = reported[claim.id]["verdict"]
        assert re.search(rf"{re.escape(claims.MARKS[verdict])} {verdict}(:|$)", flat)


def test_the_status_page_lists_every_record_that_a_notebook_shows_with_its_seeds_and_minutes(page_of):
    shown = {r["experiment"]: r for n in notebooks.names() for r in notebooks.results(notebooks.read(notebooks.path(n)))
             if r["source"] == "record"}
    rows = page_of("book/status").locator("article table").last.locator("tbody tr").all_inner_texts()
    assert len(rows) == len(shown)
    for row in rows:
        name, _, seeds, minutes, *_ = row.split("\t")
        record = shown[name.split(" ")[0]]
        assert int(seeds) == record["seeds"]
        assert float(minutes) == pytest.approx(record["wall_seconds"] / 60, abs=0.051)


def test_the_introduction_counts_the_verdicts(page_of):
    text = page_of("book/introduction").locator("article").inner_text()
    verdicts = [v["verdict"] for n in notebooks.names() for v in notebooks.verdicts(notebooks.read(notebooks.path(n)))]
    assert f"Of the {len(verdicts)} claims in the ledger: " in text
    for verdict in claims.VERDICTS:
        counted = re.search(rf"(\d+) (?:a )?{verdict}\b(?! on a)", text)
        assert int(counted[1] if counted else 0) == verdicts.count(verdict), verdict


def test_search_finds_a_word_of_a_notebook(page_of):
    page = page_of("search", width=1280)
    page.goto(page.url + "?q=perturbation")
    page.wait_for_selector("#search-results li a", timeout=20_000)
    page.wait_for_function("document.querySelector('#search-progress, .search-summary')?.innerText.includes('finished')")
    assert any("02_linear" in (a.get_attribute("href") or "") for a in page.locator("#search-results li a").all())
    assert page.complaints == []  # such as that an excerpt cannot be fetched from the disk


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_serious(name, scheme, page_of):
    found = Axe().run(page_of(name, scheme=scheme)).response["violations"]
    serious = [f"{v['id']}: {v['nodes'][0]['html'][:200]}" for v in found
               if v["impact"] in ("serious", "critical") and v["id"] not in NOT_OURS]
    assert serious == []


def test_the_colour_scheme_is_the_readers(page_of):
    background = "getComputedStyle(document.body).backgroundColor"
    light, dark = (page_of("book/introduction", scheme=s).evaluate(background) for s in ("light", "dark"))
    brightness = [sum(map(int, re.findall(r"\d+", c)[:3])) for c in (light, dark)]
    assert brightness[0] > 600 > 200 > brightness[1]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_a_phone_without_scrolling_sideways(name, page_of):
    page = page_of(name, width=390)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
