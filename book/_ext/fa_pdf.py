"""The whole book as one PDF: `python book/_ext/fa_pdf.py _build/source _build/book.pdf`.

Sphinx makes one page of all pages, headless Chromium sets the mathematics and prints it twice: the second time with the
numbers of the pages in the table of contents, which it was the first print that told.
"""

import re
import shutil
import subprocess
import sys
from io import BytesIO
from pathlib import Path

from pypdf import PdfReader
from pypdf.errors import LimitReachedError

SCRIPT = Path(__file__).parent / "pdf.js"
MATHJAX = Path(__file__).parents[1] / "_static" / "mathjax" / "tex-svg.js"
FOOTER = "<div style='font-size: 7pt; width: 100%; text-align: center'><span class='pageNumber'></span></div>"
MARGIN = {"top": "16mm", "bottom": "16mm", "left": "15mm", "right": "15mm"}
MATHS = 300_000  # milliseconds: thousands of formulas are set on one page


class PdfError(RuntimeError):
    """The book could not be printed, or what was printed is not the book."""


def browser() -> str:
    """Where Chromium is. Raises PdfError where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        raise PdfError("no chromium on the path, which prints the book: `apt-get install chromium`, or the like")
    return found


def one_page(source: Path, out: Path) -> Path:
    """All pages of the book as one; returns its file. Raises PdfError where Sphinx fails."""
    start = "from jupyter_book.cli.main import main; main()"
    command = [sys.executable, "-c", start, "build", str(source), "--path-output", str(out), "--builder", "singlehtml", "-q"]
    made = subprocess.run([*command, "--all"], check=False)
    pages = sorted((out / "_build" / "singlehtml").rglob("*.html"))
    if made.returncode or not pages:
        raise PdfError(
            f"{source} was not rendered as one page (exit status {made.returncode}): see above. "
            "`make book` lays the sources out"
        )
    # What is on it is addressed from the top, and Sphinx puts it where the root of the book is, here in a folder.
    return max(pages, key=lambda p: p.stat().st_size).replace(out / "_build" / "singlehtml" / "book.html")


def printed(page: Path, chromium) -> bytes:
    """The page as a PDF, with contents, outline and working links, by a browser of Playwright's. Raises PdfError where the
    page has a picture or a style that cannot be read."""
    shown, missing = chromium.new_page(color_scheme="light"), []
    looks = ("image", "stylesheet", "font")  # a script may be missing: the index for searching is
    shown.on("requestfailed", lambda r: missing.append(r.url) if r.resource_type in looks else None)
    try:
        shown.set_default_timeout(MATHS)
        shown.goto(page.as_uri())
        if not shown.evaluate("Boolean(window.MathJax?.startup)"):  # Sphinx leaves it out where the first part has none
            shown.add_script_tag(path=str(MATHJAX))
        shown.add_script_tag(path=str(SCRIPT))
        shown.evaluate("forPaper()")
        if missing:
            raise PdfError(f"{page} shows what is not there: {', '.join(missing)}")

        def pdf() -> bytes:
            return shown.pdf(
                format="A4",
                margin=MARGIN,
                outline=True,
                tagged=True,
                display_header_footer=True,
                header_template="<span></span>",
                footer_template=FOOTER,
            )

        shown.evaluate("numbers => withNumbers(numbers)", beginnings(pdf()))
        return pdf()
    finally:
        shown.close()


def outline(pdf: PdfReader) -> list[tuple[int, str, int]]:
    """The PDF's own contents: level, title and page, from 1."""

    def walk(entries, level):
        for entry in entries:
            if isinstance(entry, list):
                yield from walk(entry, level + 1)
            else:
                yield level, entry.title.strip(), pdf.get_destination_page_number(entry) + 1

    return list(walk(pdf.outline, 1))


def beginnings(pdf: bytes) -> list[int]:
    """The page on which each chapter begins."""
    return [page for level, _, page in outline(PdfReader(BytesIO(pdf))) if level == 1]


def problems(pdf: bytes, chapters: list[str]) -> list[str]:
    """What of the book is missing from its PDF: chapters in the outline, targets of links, mathematics that is set."""
    read = PdfReader(BytesIO(pdf))
    titles = [title for level, title, _ in outline(read) if level == 1]
    found = [f"the chapter {c!r} is not in the outline" for c in chapters if c not in titles]
    named = set(read.named_destinations)
    inside = 0
    for number, page in enumerate(read.pages, start=1):
        for link in page.get("/Annots") or ():
            action = link.get_object().get("/A", {})
            address = action.get("/URI", "")
            target = link.get_object().get("/Dest") or action.get("/D")
            if address and not re.match(r"(https?|mailto):", address):
                found.append(f"page {number} has a link to {address}, which is not in the PDF")
            if isinstance(target, str):
                inside += 1
                if target not in named and f"/{target}" not in named:
                    found.append(f"page {number} has a link to {target!r}, which there is not")
    if not inside:
        found.append("no link leads from one place of it to another")
    # Between the delimiters that Sphinx gives it: code that is shown has such commands, too, but not these.
    source = re.compile(r"\\[(\[].{0,40}?\\(frac|mathrm|bigl|begin\{)", re.S)
    unset = []
    for number, page in enumerate(read.pages, start=1):
        try:
            unset += [number] if source.search(page.extract_text()) else []
        except LimitReachedError as error:
            found.append(
                f"page {number} is drawn of so many parts that a reader waits for it ({error}): draw them as pixels"
            )
    if unset:
        found.append(f"mathematics is not set on page {', '.join(map(str, unset[:9]))}")
    return found


def chapters(source: Path) -> list[str]:
    """The titles of the pages that the table of contents has."""
    import yaml

    from fa_core import notebooks

    def files(part):
        if isinstance(part, dict):
            yield from (part[k] for k in ("root", "file") if k in part)
            part = [v for k, v in part.items() if k in ("parts", "chapters", "sections")]
        for one in part if isinstance(part, list) else []:
            yield from files(one)

    found = []
    for name in files(yaml.safe_load((source / "_toc.yml").read_text(encoding="utf-8"))):
        page = source / f"{name}.md"
        if page.exists():
            text = page.read_text(encoding="utf-8")
        else:
            text = notebooks.read(source / f"{name}.ipynb").cells[0].source
        found.append(text.splitlines()[0].removeprefix("# ").replace("*", "").replace("$", ""))
    return found


def main(source: Path, out: Path) -> int:
    """Print the book; returns the exit status."""
    from playwright.sync_api import sync_playwright

    out.parent.mkdir(parents=True, exist_ok=True)
    page, where = one_page(source, out.parent / "single"), browser()
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=where, args=["--no-sandbox"])
        pdf = printed(page, chromium)
        chromium.close()
    out.write_bytes(pdf)
    if wrong := problems(pdf, chapters(source)):
        raise PdfError(f"{out}:\n  " + "\n  ".join(wrong))
    print(f"The book is at {out}: {len(PdfReader(BytesIO(pdf)).pages)} pages, {len(pdf) / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(*map(Path, sys.argv[1:3])))
    except (PdfError, OSError) as error:
        sys.exit(f"pdf: {error}")
