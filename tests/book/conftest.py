"""The book, built once from the committed notebooks, and a browser to look at it."""

import os
import shutil
from pathlib import Path

import pytest

from fa_core import notebooks

PROSE = ("introduction", "try_it", "how_to_read", "notation", "scorecard", "equations", "errata", "status", "speed",
         "clusters", "api", "references")
PAGES = [*(f"book/{name}" for name in PROSE), *(f"notebooks/{name}" for name in notebooks.names())]
# MathJax says when it has set what there is to set.
WITH_MATHS = "!document.querySelector('.math') || (window.MathJax && MathJax.startup && MathJax.startup.promise)"

# The theme's buttons go from black to their colours as the page opens: what is in between has no contrast to speak of.
AT_REST = "Promise.allSettled(document.getAnimations().map(a => a.finished)).then(() => true)"


@pytest.fixture(scope="session")
def html(tmp_path_factory) -> Path:
    """The folder of the built pages. Warnings are errors there."""
    folder = tmp_path_factory.mktemp("book")
    notebooks.stage(folder / "source")
    assert notebooks.build(folder / "source", folder) == 0, "the build failed: its warnings are above"
    return folder / "_build" / "html"


@pytest.fixture(scope="session")
def browser():
    """Debian's chromium, headless. Without it the tests are skipped, except in CI, where it has to be there."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not chromium:
        reason = "no chromium on the path: `apt-get install chromium`, or the like"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page_of(browser, html):
    """A function that opens a page of the book, from the disk, and returns it with what it complained of and asked for."""
    contexts = []

    def open_page(name, width=1280, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.complaints, page.requested = [], []
        page.on("console", lambda m: page.complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda e: page.complaints.append(str(e)))
        page.on("requestfailed", lambda r: page.complaints.append(f"failed: {r.url}"))
        page.on("request", lambda r: page.requested.append(r.url))
        page.goto((html / f"{name}.html").as_uri())
        page.wait_for_load_state("load")
        page.wait_for_function(WITH_MATHS)
        page.evaluate("window.MathJax && MathJax.startup ? MathJax.startup.promise.then(() => true) : true")
        page.evaluate(AT_REST)
        return page

    yield open_page
    for context in contexts:
        context.close()
