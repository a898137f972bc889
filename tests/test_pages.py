"""What the book's pages make of the notebooks: the opening, folded sections, where results come from; pictures, tables."""

import json
import re
import sys

import pytest
from docutils import nodes
from nbconvert import HTMLExporter
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from fa_core import claims, notebooks, pictures, records
from fa_core.experiments import extended, mnist
from fa_core.tables import Table

NAMES = notebooks.names()
MAIN_THREAD, LINE = 1200, 88  # words, characters
ALT = "A line that falls, and one that rises"
SVG = (
    '<?xml version="1.0"?>\n<svg width="10.123pt" version="1.1" xmlns="http://www.w3.org/2000/svg" '
    'xmlns:xlink="http://www.w3.org/1999/xlink"><path id="m0b2c3d4e5f" d="M 0 0"/>'
    '<path d="M 1.23456 -2.5 \nL 3.99999 4 \nz\n" style="fill: none; stroke: #000000"/>'
    '<use xlink:href="#m0b2c3d4e5f" transform="translate(1.2345 2) scale(0.015625)" x="7.777"/>'
    '<image xlink:href="data:image/png;base64,\nAAAA1.23456"/></svg>\n'
)


@pytest.fixture
def fa_pages(monkeypatch):
    """The extension."""
    monkeypatch.syspath_prepend(notebooks.ROOT / "book" / "_ext")
    import fa_pages

    yield fa_pages
    sys.modules.pop("fa_pages")


class App:
    """As much of Sphinx as the extension asks for."""

    class builder:
        @staticmethod
        def get_relative_uri(here, there):
            return f"../{there}.html"


def page_of(fa_pages, *cells) -> list[dict]:
    """The cells of the page of a notebook."""
    source = [json.dumps(new_notebook(cells=list(cells)))]
    fa_pages.prepare(App, "notebooks/02_linear", source)
    return json.loads(source[0])["cells"]


def figure(name="fig-x", caption="What is seen.", *outputs, **metadata):
    """A cell that draws."""
    drawn = new_output("display_data", {"image/png": "", "text/plain": "<Figure>"})
    described = {"mystnb": {"figure": {"name": name, "caption": caption}, "image": {"alt": ALT}}}
    return new_code_cell("draw()", outputs=[*outputs, drawn], metadata=described | metadata)


def shown(name, source="live"):
    """An output that shows a result."""
    row = {"experiment": name, "digest": "0" * 12, "source": source, "seeds": 5}
    row |= {"made": "2026-01-02T", "device": "a chip", "wall_seconds": 90.0} if source == "record" else {}
    return new_output("display_data", {records.MIME: row, "text/plain": f"record: {name}"})


def sources(cells) -> list[str]:
    return [c["source"] for c in cells]


def test_results_are_said_in_one_line_under_the_figure_that_names_them_or_else_the_next(fa_pages):
    cells = page_of(
        fa_pages,
        new_markdown_cell("# T"),
        new_code_cell("a", outputs=[shown("one"), shown("two"), shown("three-late")]),
        figure("fig-1", "The first."),
        figure("fig-2", "The second. Experiments: three-late."),
        new_code_cell("b", outputs=[shown("last"), new_output("stream", text="kept")]),
    )
    assert not any(records.MIME in o.get("data", {}) for c in cells for o in c.get("outputs", ()))
    said = [c["source"] for c in cells if "class='provenance'" in c["source"]]
    assert [re.findall(r"<tr><td>([\w-]+)</td>", s) for s in said] == [["one", "two"], ["three-late"], ["last"]]
    order = sources(cells)
    assert [order[order.index(s) - 1] for s in said] == ["draw()", "draw()", "b"]
    assert cells[order.index("b")]["outputs"][0]["text"] == "kept"
    assert all("\n\n" not in s for s in said), "an empty line would end the HTML"


def test_results_that_are_got_at_once_are_said_under_the_figures_and_tables_whose_code_uses_them(fa_pages):
    got = (
        "from fa_core.experiments import mnist\nr = {'one': get(mnist.BACKPROP), 'two': get(mnist.SHALLOW)}\n"
        "r['three'] = get(mnist.SPARSE)\ndef draw(ax, experiment):\n    ax.plot(r[experiment.name])"
    )
    names = ["mnist-backprop", "mnist-shallow", "mnist-sparse"]
    first, second, table = figure("fig-1"), figure("fig-2"), new_code_cell("r['two'].table()")
    first.source, second.source = "draw(ax, mnist.SHALLOW)", "for e in [mnist.SHALLOW]:\n    draw(ax, e)"
    last = new_code_cell("x = r['one']\nx.table()", outputs=[new_output("stream", text="1 2")])
    table.outputs = [new_output("stream", text="3")]
    cells = page_of(
        fa_pages, new_markdown_cell("# T"), new_code_cell(got, outputs=[shown(n) for n in names]), first, table, second, last
    )
    order = sources(cells)
    under = {order[k - 1]: re.findall(r"<tr><td>([\w-]+)</td>", s) for k, s in enumerate(order) if "'provenance'" in s}
    # What nothing uses stands under the next figure.
    assert under == {
        first.source: ["mnist-shallow", "mnist-sparse"],
        second.source: ["mnist-shallow"],
        last.source: ["mnist-backprop"],
    }


def test_records_that_a_figure_uses_and_no_cell_shows_are_said_under_it(fa_pages):
    got = "from fa_core.experiments import mnist\nr = {e.name: get(e) for e in (mnist.BACKPROP, mnist.SHALLOW)}"
    drawn, bare = figure("fig-1"), figure("fig-2")
    own = figure("fig-3", "Run here, as mnist-shallow is.", tags=["own-run"])
    drawn.source, bare.source, own.source = "draw(r)", "draw(None)", "draw(r['mnist-shallow'])"
    cells = page_of(
        fa_pages, new_markdown_cell("# T"), new_code_cell(got, outputs=[shown("mnist-shallow")]), drawn, bare, own
    )
    order = sources(cells)
    said = [k for k, s in enumerate(order) if "'provenance'" in s]
    assert [order[k - 1] for k in said] == [drawn.source]
    assert re.findall(r"<tr><td>([\w-]+)</td>", order[said[0]]) == ["mnist-shallow", "mnist-backprop"]


def test_the_line_gives_seeds_device_date_and_the_command_that_makes_it_again(fa_pages):
    rows = [shown(n, "record").data[records.MIME] for n in ("one", "two")]
    said = fa_pages.provenance(rows, "02_linear")
    assert "<summary>From 2 records, 5 seeds, made 2026-01-02;" in said
    alone = fa_pages.provenance([rows[0] | {"seeds": 1}], "02_linear")
    assert "<summary>From 1 record, 1 seed, made 2026-01-02;" in alone
    assert "<td>one</td><td>5</td><td>a chip</td><td>1.5</td><td>2026-01-02</td>" in said
    assert "<code>fa_core record --remake one two</code>" in said
    assert "<code>fa_core run 02_linear</code>" in fa_pages.provenance([shown("one").data[records.MIME]], "02_linear")


def test_minutes_that_may_be_of_the_last_stretch_alone_are_said_to_be_a_least(fa_pages):
    older, newer = (records.load(e) for e in (mnist.SPARSE, extended.LEAKY_ALONE))
    assert "stretches" not in older.about
    assert "stretches" in newer.about
    rows = [r._repr_mimebundle_()[records.MIME] for r in (older, newer)]
    assert [fa_pages.minutes_of(r) for r in rows] == [
        f"≥ {older.about['wall_seconds'] / 60:.1f}",
        f"{newer.about['wall_seconds'] / 60:.1f}",
    ]


def test_a_page_opens_with_its_verdicts_the_figure_that_answers_and_the_minutes(fa_pages):
    report = claims.Reporter("02_linear")
    verdicts = [
        report("fig2a.shallow-hardly-learns", 0.97, 20, (0.96, 0.98)),
        report("fig2b.angle-never-zero", 2, kind="extreme"),
    ]
    outputs = [new_output("display_data", v._repr_mimebundle_()) for v in verdicts]
    answer = figure("fig-1", "Seen.", shown("one"), tags=["hide-input", "opening"])
    cells = page_of(
        fa_pages,
        new_markdown_cell("# T\n\nWhat?"),
        new_markdown_cell("## Later"),
        figure("fig-0"),
        answer,
        new_code_cell("j", outputs=outputs),
    )
    assert cells[1]["source"].startswith("<div class='verdicts'")
    badge = r"<p class='(\w+)'><b>(. [\w ]+)</b> <a href='../book/scorecard.html#([\w.-]+)'>"
    assert re.findall(badge, cells[1]["source"]) == [
        ("reproduced", "✓ reproduced", "fig2a.shallow-hardly-learns"),
        ("missed", "✗ not reproduced", "fig2b.angle-never-zero"),
    ]
    assert "1 minute to read" in cells[1]["source"]
    assert cells[2]["metadata"]["mystnb"]["figure"]["name"] == "fig-1"
    assert (cells[2]["metadata"]["tags"], len(cells[2]["outputs"])) == (["remove-input"], 1)
    assert "class='provenance'" in cells[3]["source"]
    place = next(c for c in cells if c["metadata"].get("tags") == ["hide-input", "opening"])
    assert (place["outputs"], "mystnb" in place["metadata"]) == ([], False)
    assert "(#fig-1)" in cells[cells.index(place) + 1]["source"]
    assert "class='verdict missed'" in cells[-1]["outputs"][1]["data"]["text/html"]


def test_a_claim_of_a_later_work_names_its_authors_on_a_page(fa_pages):
    claim = next(c for c in claims.ledger(section="after").values() if c.source == "liao2016")
    verdict = claims.Reporter(claim.notebook)(claim.id, 1.0, kind="deterministic")
    judged = new_code_cell("j", outputs=[new_output("display_data", verdict._repr_mimebundle_())])
    shown = page_of(fa_pages, new_markdown_cell("# T"), judged)[-1]["outputs"][0]["data"]["text/html"]
    assert ">Liao et al., 2016<" in shown
    assert "liao2016" not in shown


def test_a_section_is_folded_under_its_heading_and_the_main_thread_is_what_is_left(fa_pages):
    cells = [
        new_markdown_cell("# T\n\none two $x$ three"),
        new_markdown_cell("(a-label)=\n## A\n\nfour", metadata={notebooks.COLLAPSED: True}),
        new_markdown_cell("### B\n\nfive"),
        figure(caption="six seven"),
        new_markdown_cell("## C\n\neight [nine](ten.md) `eleven`"),
        figure(caption="twelve"),
    ]
    notebook = new_notebook(cells=cells)
    assert [s.split("\n")[0] for s in sources(notebooks.main_thread(notebook))] == ["# T", "## C", "draw()"]
    assert notebooks.read_words(notebook) == (8, 1)  # T one two three, C eight nine, twelve
    assert f"(a-label)=\n## A\n\n% {fa_pages.FOLDED}\n\n\nfour" in sources(page_of(fa_pages, *cells))
    section = nodes.section("", nodes.title("", "A"), nodes.comment("", fa_pages.FOLDED), nodes.paragraph("", "four five"))
    document = nodes.section("", section, nodes.section("", nodes.title("", "C")))
    fa_pages.fold(None, document)
    assert [type(n).__name__ for n in section.children] == ["title", "raw", "paragraph", "raw"]
    assert section[1].astext() == "<details class='folded'><summary>Open this section (2 words)</summary>"
    assert section[3].astext() == "</details>"
    assert len(document.children) == 2
    wordless = nodes.section("", nodes.title("", "A"), nodes.comment("", fa_pages.FOLDED), nodes.table())
    fa_pages.fold(None, nodes.section("", wordless))
    assert wordless[1].astext() == "<details class='folded'><summary>Open this section (tables)</summary>"


def test_a_short_formula_stays_with_its_punctuation(fa_pages):
    long = nodes.math("", "x" * 40)
    text = nodes.paragraph("", "", nodes.Text("From ("), nodes.math("", "a"), nodes.Text("), "), nodes.math("", "b"))
    text += [nodes.Text(" and "), nodes.math("", "c"), nodes.Text(". Then "), long, nodes.Text(".")]
    title = nodes.title("", "", nodes.math("", "d"), nodes.Text("."))
    fa_pages.unbroken(None, nodes.section("", title, text))
    kept = [n.astext() for n in text.findall(nodes.inline)]
    assert (kept, [n.astext() for n in title]) == (["(a),", "c."], ["d", "."])
    assert text.astext() == f"From (a), b and c. Then {'x' * 40}."


def test_a_number_stays_with_its_unit_and_with_what_it_numbers(fa_pages):
    texts = [
        "by Fig. 3 and Supplementary Figs. S5, 1.8 % of ten, eq. 8",
        " % of errors",
        " points of 5 pixels, 3 of",
        "Notes 3",
    ]
    text = nodes.paragraph("", "", *map(nodes.Text, texts), nodes.literal("", "Fig. 3"))
    title = nodes.title("", "Figure 3: two layers")
    raw = nodes.raw()
    raw.children = [nodes.Text("Fig. 3")]  # as another extension leaves it, without a parent
    fa_pages.unbroken(None, nodes.section("", title, raw, text))
    assert raw.astext() == "Fig. 3"
    assert title.astext() == "Figure 3: two layers"
    assert text.astext().replace("\u00a0", "~") == (
        "by Fig.~3 and Supplementary Figs.~S5, 1.8~% of ten, eq.~8~% of errors~points of 5~pixels, 3 ofNotes~3Fig. 3"
    )


def test_a_picture_is_packed_short_and_the_same_each_time():
    packed = pictures.pack(SVG)
    tidy = pictures.unpack(packed)
    assert 'd="M 1.23 -2.5 L 3.99 4 z"' in tidy
    assert "AAAA1.23456" in tidy
    assert 'transform="translate(1.23 2) scale(0.015625)" x="7.77"' in tidy
    assert pictures.pack(tidy) == packed == pictures.pack(SVG)


def test_a_figure_in_vectors_has_no_ground_and_no_date():
    import matplotlib.pyplot as plt

    from fa_core import figures

    with plt.rc_context():
        figures.use()
        drawn = []
        for _ in range(2):
            fig, ax = plt.subplots()
            figures.band(ax, range(2001), [range(2001), range(1, 2002)], "backprop")
            drawn.append(figures.vectors(fig))
            plt.close(fig)
    svg = pictures.unpack(drawn[0])
    assert drawn[0] == drawn[1]
    assert "dc:date" not in svg
    assert "#ffffff" not in svg
    assert 400 <= svg.count("L ") < 2500, "a band is drawn at some of its points"


def test_in_a_notebook_a_figure_is_shown_in_vectors_too_and_nothing_else_is(monkeypatch):
    import IPython
    import matplotlib.pyplot as plt
    from IPython.core.interactiveshell import InteractiveShell
    from matplotlib.figure import Figure

    from fa_core import figures

    shell = InteractiveShell()
    monkeypatch.setattr(IPython, "get_ipython", lambda: shell)
    with plt.rc_context():
        figures.use()
        for formatter in shell.display_formatter.formatters.values():  # as the inline backend does at its first figure
            formatter.pop(Figure, None)
        fig = plt.figure()
        shown, _ = shell.display_formatter.format(fig)
        plt.close(fig)
    assert pictures.unpack(shown[pictures.MIME]).startswith("<?xml")
    assert list(shell.display_formatter.format(3)[0]) == ["text/plain"]


def test_a_legend_has_the_algorithms_in_their_order_and_says_what_a_band_is():
    import matplotlib.pyplot as plt

    from fa_core import figures

    fig, (with_band, without) = plt.subplots(1, 2)
    for ax in (with_band, without):
        for name in ("a control", "shallow", "feedback alignment, slower", "backprop"):
            ax.plot([0, 1], label=name)
    figures.band(with_band, range(3), [range(3)], "node perturbation")
    texts = [[t.get_text() for t in figures.legend(ax).get_texts()] for ax in (with_band, without)]
    plt.close(fig)
    order = ["backprop", "feedback alignment, slower", "shallow", "node perturbation", "a control"]
    assert texts[0] == [*order, "band: middle 95 % of the seeds"]
    assert texts[1] == [name for name in order if name != "node perturbation"]


def luminance(colour: str) -> float:
    """Relative luminance, as WCAG has it."""
    linear = [
        v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4
        for v in (int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4))
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def colours(shown: str, where: str) -> dict[str, str]:
    """The variables of a picture for a page, and the values that they have there."""
    return dict(re.findall(r"--(\w+):(#\w+)", re.search(rf"(?<=}}){where}{{(.*?)}}", shown)[1]))


def test_on_a_dark_page_lines_can_be_seen_and_images_stay_as_they_are():
    from fa_core.figures import COLOURS

    shown = pictures.page(SVG)
    light, dark = colours(shown, "svg"), colours(shown, "svg:target")
    black = next(name for name, value in light.items() if value == "#000000")
    assert dark[black] == "#ededed"
    assert f"stroke:var(--{black})" in shown
    assert shown.count(f"{{fill:var(--{black});") == 2, "text names no colour"
    assert f'id="{pictures.DARK}"' in shown
    for colour in pictures.ON_IMAGES:
        assert f"fill:{colour}" in pictures.page(SVG.replace("fill: none", f"fill: {colour}"))
    assert "base64,AAAA1.23456" in shown
    ground = luminance("121212")
    for name, colour in COLOURS.items():
        contrast = (luminance(pictures.on_dark(colour[1:].lower())[1:]) + 0.05) / (ground + 0.05)
        assert contrast > 3, (name, contrast)
    assert luminance(pictures.on_dark("ffffff")[1:]) < 0.02


def test_a_picture_for_a_page_is_the_same_in_fewer_signs():
    path = "M 1.234 -2.5 L 3.99 4 L 3.99 4 L 10 4.005 z M 10.1 100 Q 1 2 3 4 C 1 1 2 2 3 3 z L 0 0"
    written = pictures._steps(path)
    assert written == "m1.23-2.5l2.76 6.5 6.01 0zm8.87 102.5q-9.1-98-7.1-96c-2-3-1-2 0-1zl-10.1-100"
    plain = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    drawn = (
        '<metadata><x/></metadata><g id="axes_1"><defs><path id="m9f" d="M 0 0 L 0 3.5"/></defs><!-- a tick --><g>'
        '<use xlink:href="#m9f" x="40.92" y="2" style="stroke: #000000; stroke-width: 0.8"/></g></g>'
        '<g transform="translate(1 2) scale(0.1 -0.1)"><use xlink:href="#m9f" transform="translate(63.623 0)"/></g>'
        '<path id="no" clip-path="url(#p1)" d="M 0 0"/><defs><clipPath id="p1"/></defs></svg>'
    )
    shown = pictures.page(plain + drawn)
    assert shown.split("</style>")[1].replace(" />", "/>") == (
        '<defs><path d="m0 0l0 3.5" id="_0"/></defs><use x="40.92" y="2" href="#_0" class="s0"/>'
        '<g transform="translate(1 2) scale(0.1 -0.1)"><use href="#_0" x="63.6"/></g>'
        '<path clip-path="url(#_1)" d="m0 0"/><defs><clipPath id="_1"/></defs></svg>'
    )


def test_the_description_of_a_figure_stands_where_jupyter_and_nbconvert_look():
    normal = notebooks.described(notebooks.normalise(new_notebook(cells=[figure()])))
    assert notebooks.normalise(normal) == normal
    assert normal.cells[0].outputs[0].metadata["image/png"]["alt"] == ALT
    page, _ = HTMLExporter(template_name="classic").from_notebook_node(normal)
    assert page.count(f'alt="{ALT}"') == 1


def test_the_page_shows_the_vectors_and_the_notebook_the_pixels(fa_pages):
    cell = figure()
    cell.outputs[0].data[pictures.MIME] = pictures.pack(SVG)
    shown = page_of(fa_pages, new_markdown_cell("# T"), cell)[-1]["outputs"][0]["data"]
    assert shown["image/svg+xml"] == pictures.page(pictures.unpack(pictures.pack(SVG)))
    assert pictures.MIME not in shown
    page, _ = HTMLExporter(template_name="classic").from_notebook_node(new_notebook(cells=[cell]))
    assert "data:image/png" in page
    assert "vnd.fa-core" not in page


def test_a_table_is_html_and_the_same_as_text():
    table = Table(
        ["rule", "rate", "examples"],
        [["backprop", 0.0123456, 367], ["shallow & slow", float("inf"), 12345]],
        ["", ".3g", ",.0f"],
        title="To NSE 0.01",
    )
    assert repr(table).splitlines() == [
        "To NSE 0.01",
        "rule              rate  examples",
        "backprop        0.0123       367",
        "shallow & slow     inf    12,345",
    ]
    page = table._repr_html_()
    assert page.startswith("<table class='numbers'><caption>To NSE 0.01</caption>")
    cells = re.findall(r"<t[dh][^>]*>([^<]*)</t[dh]>", page)
    assert cells == ["rule", "rate", "examples", "backprop", "0.0123", "367", "shallow &amp; slow", "inf", "12,345"]
    assert page.count("class=number") == 6


def test_a_column_of_numbers_stands_to_the_right_also_where_they_are_text_or_missing():
    rows = [
        ["a", "-", "1.5 %", "0.9 [0.8, 1]", "30-20-10", 1],
        ["b", "5e-07", "", "1", "3", "-"],
        ["c", "< 1,000", "90°", "-", "", 20],
    ]
    table = Table(["name", "text", "share", "interval", "network", "mixed"], rows, "d")
    assert table.numeric == [False, True, True, False, False, True]
    assert repr(table).splitlines() == [
        "name     text  share  interval      network   mixed",
        "a           -  1.5 %  0.9 [0.8, 1]  30-20-10      1",
        "b       5e-07         1             3             -",
        "c     < 1,000    90°  -                          20",
    ]
    assert table._repr_html_().count("class=number") == 3 * 4


def test_on_a_page_a_table_has_signs_for_what_is_no_finite_number(fa_pages):
    table = Table(["rule", "examples"], [["inf & x", float("-inf")], ["b", float("nan")]], title="inf: never")
    drawn = new_output("display_data", {"text/html": table._repr_html_(), "text/plain": repr(table)})
    shown = page_of(fa_pages, new_markdown_cell("# T"), new_code_cell("t", outputs=[drawn]))[-1]["outputs"][0]["data"]
    assert "<caption>∞: never<" in shown["text/html"]
    assert re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", shown["text/html"])[2:] == ["∞ &amp; x", "-∞", "b", "–"]
    assert "inf" in shown["text/plain"]


def test_a_table_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"a row of 1 under a head of 2 \(a, b\): \['x'\]"):
        Table(["a", "b"], [["x"]])
    with pytest.raises(ValueError, match=r"3 formats for 2 columns \(a, b\): give one for each"):
        Table(["a", "b"], [], ["", "", ""])


@pytest.mark.parametrize("name", NAMES)
def test_the_main_thread_of_a_notebook_is_read_in_ten_minutes(name):
    notebook = notebooks.read(notebooks.path(name))
    words, _ = notebooks.read_words(notebook)
    assert words <= MAIN_THREAD
    assert notebooks.minutes(notebook) <= 10


@pytest.mark.parametrize("name", NAMES)
def test_code_that_is_shown_has_lines_that_fit(name):
    notebook = notebooks.read(notebooks.path(name))
    shown = [
        c.source
        for c in notebooks.main_thread(notebook)
        if c.cell_type == "code"
        and not {"hide-input", "hide-cell", "remove-input", "remove-cell"} & set(c.metadata.get("tags", ()))
    ]
    printed = [o.text for c in notebooks.code_cells(notebook) if "getsource" in c.source for o in c.outputs]
    wide = [line for source in shown + printed for line in source.splitlines() if len(line) > LINE]
    assert wide == []


@pytest.mark.parametrize("name", NAMES)
def test_each_figure_has_vectors_no_wider_than_the_column_and_is_described_outside_the_book(name):
    outputs = [
        o
        for c in notebooks.code_cells(notebooks.read(notebooks.path(name)))
        for o in c.outputs
        if "image/png" in o.get("data", {})
    ]
    fit = [(len(o.metadata.get("image/png", {}).get("alt", "")), width(o.data.get(pictures.MIME))) for o in outputs]
    assert all(alt > 20 and inches <= 10.2 for alt, inches in fit), fit


def width(packed: str | None) -> float:
    """The width of a figure in inches; infinite where it has no vectors."""
    return float(re.search(r'<svg[^>]* width="([\d.]+)pt"', pictures.unpack(packed))[1]) / 72 if packed else float("inf")


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_opens_with_its_question_and_the_figure_that_answers(name):
    notebook = notebooks.read(notebooks.path(name))
    opening = [c for c in notebooks.code_cells(notebook) if "opening" in c.metadata.get("tags", ())]
    short = notebooks.words(notebook.cells[0].source) < 130
    opened = len(opening) == 1 and short and "?" in notebook.cells[0].source
    assert opened
