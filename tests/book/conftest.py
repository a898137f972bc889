"""The book, built once from the committed notebooks, and a browser to look at it."""

import fcntl
import os
import re
import shutil
from pathlib import Path

import pytest

from fa_core import notebooks

PAGES = re.findall(r"^(?: *- file|root): (\S+)", (notebooks.ROOT / "_toc.yml").read_text(), re.M)
# MathJax says when it has set what there is to set.
WITH_MATHS = "!document.querySelector('.math') || (window.MathJax && MathJax.startup && MathJax.startup.promise)"

# The theme's buttons go from black to their colours as the page opens: what is in between has no contrast to speak of.
AT_REST = "Promise.allSettled(document.getAnimations().map(a => a.finished)).then(() => true)"


@pytest.fixture(scope="session")
def html(tmp_path_factory) -> Path:
    """The folder of the built pages, built once for all processes of a session. Warnings are errors there."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "book"
    folder.mkdir(exist_ok=True)
    built = folder / "status"
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not built.exists():
            notebooks.stage(folder / "source")
            built.write_text(str(notebooks.build(folder / "source", folder)))
    assert built.read_text() == "0", "the build failed: its warnings are above, or those of another process"
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


def opened(browser, html, name, width=1280, scheme="light"):
    """A page of the book, opened from the disk in a context of its own, with what it complained of and asked for."""
    page = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme).new_page()
    page.set_default_timeout(120_000)  # a loaded machine is no fault
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


@pytest.fixture
def page_of(browser, html):
    """A function that opens a page of the book, as `opened` does."""
    pages = []

    def open_page(name, width=1280, scheme="light"):
        pages.append(opened(browser, html, name, width, scheme))
        return pages[-1]

    yield open_page
    for page in pages:
        page.context.close()


@pytest.fixture(scope="module", params=PAGES)
def page(request, browser, html):
    """Each page of the book in turn, opened once at 1280 pixels for all tests of a module that look at every page; `name`
    is its name. Who changes its size or its colours puts them back."""
    found = opened(browser, html, request.param)
    found.name = request.param
    yield found
    found.context.close()
