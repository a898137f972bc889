"""The book on paper: a small one, printed as the whole is, and what its check finds wrong with others."""

import re
import sys
from io import BytesIO
from pathlib import Path

import pytest

from fa_core import notebooks

sys.path.insert(0, str(Path(__file__).parents[2] / "book" / "_ext"))
import fa_pdf
from pypdf import PdfReader, apply_configuration

PAGES = ("book/how_to_read", "book/notation", "notebooks/01_random_feedback")


@pytest.fixture(scope="module")
def small(browser, tmp_path_factory) -> tuple[Path, bytes]:
    """The sources of a book of three pages, and its PDF."""
    folder = tmp_path_factory.mktemp("paper")
    notebooks.stage(folder / "source")
    chapters = "".join(f"- file: {name}\n" for name in PAGES[1:])
    (folder / "source" / "_toc.yml").write_text(f"format: jb-book\nroot: {PAGES[0]}\nchapters:\n{chapters}")
    return folder / "source", fa_pdf.printed(fa_pdf.one_page(folder / "source", folder), browser)


def test_the_pdf_has_every_chapter_its_text_its_pictures_and_no_dead_link(small):
    source, pdf = small
    titles = fa_pdf.chapters(source)
    assert titles == ["How to read and re-run this book", "Notation and conventions", "Figure 1: random feedback"]
    assert fa_pdf.problems(pdf, titles) == []
    read = PdfReader(BytesIO(pdf))
    assert 6 <= len(read.pages) <= 40
    text = " ".join(page.extract_text() for page in read.pages)
    assert "A bound is never changed because a run missed it" in " ".join(text.split())
    assert "fig1.positive-feedback" in text
    assert "plt.show()" not in text, "what draws is left out"
    assert "Left, error on a logarithmic axis" not in text, "a picture is shown and not described in words"


def test_the_contents_name_the_pages_on_which_the_chapters_begin(small):
    _, pdf = small
    read = PdfReader(BytesIO(pdf))
    contents = next(text for page in read.pages if "Contents" in (text := page.extract_text()))
    begins = [(title, page) for level, title, page in fa_pdf.outline(read) if level == 1]
    assert len(begins) == 3
    assert [page for _, page in begins] == sorted({page for _, page in begins})
    for title, page in begins:
        assert re.search(rf"{re.escape(title)}\s*{page}\b", contents), (title, page, contents)


def test_what_is_missing_from_a_pdf_is_told(browser):
    page = browser.new_page()
    page.set_content(
        "<h1>A chapter</h1><pre>label=r'$\\frac{1}{2}$'</pre>"
        "<p>An \\(\\frac{1}{2}\\) <a href='file:///tmp/other.html'>elsewhere</a></p>"
    )
    pdf = page.pdf(outline=True, tagged=True)
    page.close()
    told = fa_pdf.problems(pdf, ["A chapter", "Another"])
    assert told == [
        "the chapter 'Another' is not in the outline",
        "page 1 has a link to file:///tmp/other.html, which is not in the PDF",
        "no link leads from one place of it to another",
        "mathematics is not set on page 1",
    ]


def test_a_page_with_a_picture_or_a_style_that_is_not_there_is_not_printed(browser, tmp_path):
    page = tmp_path / "page.html"
    page.write_text(
        "<link rel='stylesheet' href='_static/book.css'><article><h1>A chapter</h1><img src='_images/1.svg'></article>"
    )
    with pytest.raises(fa_pdf.PdfError, match=r"page.html shows what is not there: .*/_static/book.css, .*/_images/1.svg"):
        fa_pdf.printed(page, browser)


def test_a_chapter_whose_title_takes_two_lines_has_all_its_words_in_the_outline(browser, tmp_path):
    page, title = tmp_path / "page.html", " ".join(["A title of many words"] * 9)
    page.write_text(f"<article><h1>{title}</h1><p>Words.</p></article>")
    assert [name for _, name, _ in fa_pdf.outline(PdfReader(BytesIO(fa_pdf.printed(page, browser))))] == [title, "Contents"]


def test_a_page_that_is_drawn_of_too_many_parts_is_told(browser):
    page = browser.new_page()
    page.set_content("<h1>A chapter</h1><p id='a'><a href='#a'>here</a></p>")
    pdf = page.pdf(outline=True, tagged=True)
    page.close()
    with apply_configuration(stream_parsing_work_maximum_count=10):
        told = fa_pdf.problems(pdf, ["A chapter"])
    assert [t for t in told if t.startswith("page 1 is drawn of so many parts") and t.endswith("draw them as pixels")]


def test_without_chromium_it_is_said_what_is_wanted(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(fa_pdf.PdfError, match="no chromium on the path, which prints the book: `apt-get install chromium`"):
        fa_pdf.browser()


def test_what_cannot_be_rendered_is_said_to_be_so(tmp_path):
    with pytest.raises(fa_pdf.PdfError, match="was not rendered as one page"):
        fa_pdf.one_page(tmp_path / "nowhere", tmp_path)
