"""What the book's pages make of the notebooks beside executing them: an opening, folded sections, where results come from.

Everything here is done to the page alone. The notebooks stay as they are, for Jupyter and for the tests:

- a page opens with what became of its claims, how long it takes to read, and the figure of the cell tagged `opening`;
- a heading whose cell has JupyterLab's `jp-MarkdownHeadingCollapsed` is folded here too, with all that is under it;
- the results that cells show are said in one folded line under each figure, or else table, that is made of them;
- a figure that is drawn in vectors is shown in other colours on dark pages;
- a row of a table of text is a card on a phone;
- a number stays with its unit, and with the figure whose number it is, and a short formula with its punctuation.
"""

import html
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path

import fa_rests
import fa_scorecard
from docutils import nodes
from fa_book import STALE, record_of, standing
from nbformat import from_dict

from fa_core import claims, experiments, notebooks, pictures, records

OWN = "own-run"  # tag of a cell whose figure shows no results of experiments, though its code names them
FOLDED = "fa-folded"  # of the comment that marks a section to be folded
UNIT = re.compile(r"(?:(?<=\d)|^) (?=(?:%|(?:points?|degrees|pixels|seconds|minutes|hours|GB|MB)\b))")
NAMED = re.compile(r"\b(Figs?\.|[Ee]qs?\.|Figures?|Notes?|[Tt]heorems?|Lemmas?) (?=S?\d)")
MARKS, SHORT = re.compile(r"[.,;:)?!]+"), 30  # punctuation after a formula; characters of one that is kept with it
LONG = 60  # characters of a cell from which on a table is one of text
INFINITE, NOT_A_NUMBER = re.compile(r"\binf\b(?![^<]*>)"), re.compile(r"(?<=>)nan(?=<)")  # as Python writes them
DARK_ONE = re.compile(r'(<img(?=[^>]*class="[^"]*\bonly-dark\b)[^>]*src="[^"]*\.svg)(")')


def prepare(app, docname: str, source: list[str]) -> None:
    """Turn a notebook, as Sphinx reads it, into what the page is made of."""
    if not docname.startswith("notebooks/"):
        return
    notebook = json.loads(source[0])
    for cell in notebook["cells"]:
        for part in (cell, *cell.get("outputs", ())):  # lines, or one text
            for where in (part, part.get("data", {})):
                for key in ("source", "text", "text/plain", "text/html", pictures.MIME):
                    if isinstance(where.get(key), list):
                        where[key] = "".join(where[key])
        for output in cell.get("outputs", ()):
            if vectors := output.get("data", {}).pop(pictures.MIME, None):
                output["data"]["image/svg+xml"] = pictures.page(pictures.unpack(vectors))
            shown = output.get("data", {}).get("text/html", "")
            if shown.startswith("<table class='numbers'>"):
                output["data"]["text/html"] = INFINITE.sub("∞", NOT_A_NUMBER.sub("–", shown))
            if said := output.get("data", {}).get(claims.MIME):
                shown = output["data"]["text/html"].replace(
                    "class='verdict'", f"class='verdict {fa_scorecard.kind(said['verdict'])}'", 1
                )
                if key := said.get("source"):  # where others have "paper"
                    shown = shown.replace(f">{key}<", f">{html.escape(fa_scorecard.cited(key))}<", 1)
                output["data"]["text/html"] = shown
    scorecard = app.builder.get_relative_uri(docname, "book/scorecard")
    scorecard = "#" if "#" in scorecard else f"{scorecard}#"  # all on one page, or not
    reading = notebooks.minutes(notebook)
    mark_folded(notebook["cells"])
    notebook["cells"] = say_where_results_come_from(notebook["cells"], docname.split("/")[1])
    notebook["cells"] = opened(notebook["cells"], reading, scorecard)
    for number, cell in enumerate(notebook["cells"]):
        cell["id"] = f"cell-{number:02}"
    source[0] = json.dumps(notebook)


def markdown(text: str) -> dict:
    """A cell of text."""
    return {"cell_type": "markdown", "metadata": {}, "source": text}


def mark_folded(cells: list[dict]) -> None:
    """Put a comment under each heading that is to be folded; `fold` finds it in the document."""
    for cell in cells:
        if cell["cell_type"] == "markdown" and cell["metadata"].get(notebooks.COLLAPSED):
            cell["source"] = notebooks.HEADING.sub(rf"\1\n\n% {FOLDED}\n", cell["source"], count=1)


# ---- the opening


def opened(cells: list[dict], reading: int, scorecard: str) -> list[dict]:
    """The cells with what a page opens with after the first: its verdicts, and the figure that answers."""
    first, rest = cells[:1], cells[1:]
    said = [o["data"][claims.MIME] for c in cells for o in c.get("outputs", ()) if claims.MIME in o.get("data", {})]
    front = [markdown(badges(said, reading, scorecard))]
    for at, cell in enumerate(rest):
        if "opening" not in cell["metadata"].get("tags", ()):
            continue
        shown = [o for o in cell["outputs"] if pictured(o)]
        cell["outputs"] = [o for o in cell["outputs"] if not pictured(o)]
        described = cell["metadata"].pop("mystnb")
        below = rest[at + 1 : at + 2] if is_provenance(rest[at + 1 : at + 2]) else []
        place = markdown(f"The figure is [at the top of the page](#{described['figure']['name']}).")
        rest = [*rest[: at + 1], place, *rest[at + 1 + len(below) :]]
        front += [
            {
                "cell_type": "code",
                "execution_count": None,
                "source": "# drawn below",
                "outputs": shown,
                "metadata": {"mystnb": described, "tags": ["remove-input"]},
            },
            *below,
        ]
        break
    return first + front + rest


def pictured(output: dict) -> bool:
    """Whether an output is a picture."""
    return any(kind.startswith("image/") for kind in output.get("data", {}))


def badges(said: list[dict], reading: int, scorecard: str) -> str:
    """The verdicts of a page, a line to each kind, with a link to each claim's row; and the minutes to read."""
    lines = []
    # Claims of later papers are of no part of this one.
    parts = {v["id"]: fa_scorecard.group(claims.ledger()[v["id"]]) for v in said if v["id"] in claims.ledger()}

    def name(id: str) -> str:
        part = f" ({parts[id]})" if id in parts and len(set(parts.values())) > 1 else ""
        return html.escape(id.split(".", 1)[1].replace("-", " ") + part)

    for verdict in claims.VERDICTS:
        ids = [v["id"] for v in said if v["verdict"] == verdict]
        if ids:
            links = " ".join(f"<a href='{scorecard}{id}'>{name(id)}</a>" for id in ids)
            lines.append(f"<p class='{fa_scorecard.kind(verdict)}'><b>{claims.MARKS[verdict]} {verdict}</b> {links}</p>")
    time = f"<p class='minutes'>{reading} minute{'s' * (reading > 1)} to read</p>"
    return f"<div class='verdicts' role='group' aria-label='Verdicts'>{''.join(lines)}{time}</div>"


# ---- where results come from


def say_where_results_come_from(cells: list[dict], name: str) -> list[dict]:
    """The cells, with the results that they show taken out and said under what is made of them: each figure from there on
    whose code uses the experiment or whose caption names it; else the first output whose code does, such as a table; else
    the next figure, else where they are. Under a figure, records that no cell shows as well; but nothing under one whose
    cell is tagged `own-run`: what it shows was computed from descriptions of experiments, without their results."""
    shown = [(at, o["data"][records.MIME]) for at, c in enumerate(cells) for o in c.get("outputs", ()) if is_result(o)]
    for cell in cells:
        if "outputs" in cell:
            cell["outputs"] = [o for o in cell["outputs"] if not is_result(o)]
    figures = {
        at: cell["metadata"].get("mystnb", {}).get("figure", {}).get("caption", "")
        for at, cell in enumerate(cells)
        if any(pictured(o) for o in cell.get("outputs", ())) and OWN not in cell["metadata"].get("tags", ())
    }
    coded = [at for at, cell in enumerate(cells) if cell["cell_type"] == "code"]
    used = dict(zip(coded, fa_rests.Code(from_dict({"cells": cells})).shown(), strict=True))
    shown += unshown(figures, used, {row["experiment"] for _, row in shown})
    below: dict[int, list[dict]] = {}
    for at, row in shown:
        one = row["experiment"]
        ahead = [f for f in figures if f >= at]
        named = re.compile(rf"(?<![\w-]){re.escape(one)}(?![\w-])")
        drawn = [f for f in ahead if one in used[f] or named.search(figures[f])]
        told = [k for k in coded if k >= at and one in used[k] and cells[k]["outputs"]]
        for place in drawn or told[:1] or ahead[:1] or [at]:
            rows = below.setdefault(place, [])
            if row not in rows:
                rows.append(row)
    found = []
    for at, cell in enumerate(cells):
        found.append(cell)
        if at in below:
            found.append(markdown(provenance(below[at], name)))
    return found


def unshown(figures: Iterable[int], used: dict[int, set[str]], shown: set[str]) -> list[tuple[int, dict]]:
    """The records that figures' code uses and no cell shows, each with the place of the first of these figures."""
    described, found = experiments.registry(), {}
    for at in figures:
        for name in sorted(used[at] & described.keys() - shown - found.keys()):
            if records.path(described[name]).exists():
                found[name] = (at, records.load(described[name])._repr_mimebundle_()[records.MIME])
    return list(found.values())


def is_result(output: dict) -> bool:
    """Whether an output shows where a result comes from."""
    return records.MIME in output.get("data", {})


def is_provenance(cells: list[dict]) -> bool:
    """Whether the one cell is what `provenance` says."""
    return bool(cells) and cells[0]["source"].startswith("<details class='provenance'>")


def provenance(rows: list[dict], name: str) -> str:
    """One folded line: which records a figure or a table is made of, or that it was trained here; how to make it again."""
    recorded = [r for r in rows if r["source"] == "record"]
    live = len(rows) - len(recorded)
    seeds = sorted({r["seeds"] for r in rows})
    parts = [f"{len(recorded)} record{'s' * (len(recorded) > 1)}"] if recorded else []
    parts += [f"{live} run{'s' * (live > 1)} made for this page"] if live else []
    count = "–".join(str(s) for s in dict.fromkeys((seeds[0], seeds[-1])))
    said = " and ".join(parts) + f", {count} seed{'s' * (seeds[-1] > 1)}"
    lines, stale = [], 0
    for r in rows:
        if r["source"] == "record":
            stands = standing(r)
            stale += not stands.current
            facts = [
                r["device"],
                minutes_of(r),
                r["made"][:10],
                commit_of(r),
                f"{'✓' if stands.current else STALE} {stands.text}",
            ]
        else:
            facts = ["made for this page", "", "", "", ""]
        lines.append(
            "<tr>" + "".join(f"<td>{html.escape(str(v))}</td>" for v in (r["experiment"], r["seeds"], *facts)) + "</tr>"
        )
    if recorded:
        dates = sorted({r["made"][:10] for r in recorded})
        said += f", made {dates[0]}" + (f" to {dates[-1]}" if dates[1:] else "")
        said += f"; {STALE} {stale} not verified since the code changed" if stale else ""
    head = "".join(
        f"<th scope='col'>{h}</th>"
        for h in ("experiment", "seeds", "device", "minutes", "made", "commit", "by which sources")
    )
    again = f"fa_core record --remake {' '.join(r['experiment'] for r in recorded)}" if recorded else f"fa_core run {name}"
    return (
        f"<details class='provenance'><summary>From {said}</summary><div class='wide'><table><thead><tr>{head}</tr>"
        f"</thead><tbody>{''.join(lines)}</tbody></table></div><p>Make it again: <code>{again}</code></p></details>"
    )


def minutes_of(row: dict) -> str:
    """The minutes that a record took; at least, where they may be of the last stretch alone."""
    try:
        least = records.last_stretch_only(record_of(row).about)
    except LookupError:
        least = False
    return f"{'≥ ' * least}{row['wall_seconds'] / 60:.1f}"


def commit_of(row: dict) -> str:
    """The commit at which a record was made, in short."""
    try:
        return "; ".join(c[:10] for c in record_of(row).about["commit"].split("; "))
    except LookupError:
        return "unknown"


# ---- what is done to the document


def fold(app, doctree) -> None:
    """Fold the sections that `mark_folded` marked: the heading stays, and what is under it opens by a click."""
    for comment in list(doctree.findall(nodes.comment)):
        if comment.astext().strip() != FOLDED:
            continue
        section = comment.parent
        section.remove(comment)
        title, *rest = section.children
        words = notebooks.words(" ".join(n.astext() for n in section.findall(nodes.paragraph)))
        figures = sum(1 for _ in section.findall(nodes.figure))
        holds = [f"{figures} figure{'s' * (figures > 1)}"] * bool(figures) + [f"{words} words"] * bool(words)
        section.children = []
        opens = f"<details class='folded'><summary>Open this section ({', '.join(holds) or 'tables'})</summary>"
        section += [title, nodes.raw("", opens, format="html"), *rest, nodes.raw("", "</details>", format="html")]


def pictures_of(app, doctree) -> None:
    """Give each picture a place in which it can scroll; and beside one in vectors put it again, in the colours of a dark
    page: the theme shows the one or the other, and `dark_ones` names the colours."""
    for image in [i for figure in doctree.findall(nodes.figure) for i in figure.findall(nodes.image)]:
        if not app.env.docname.startswith("notebooks/"):
            in_vectors(app, image)
        place = nodes.container("", image.deepcopy(), classes=["picture"], is_div=True)
        image.parent.replace(image, place)
        if image["uri"].endswith(".svg"):
            light, dark = place[0], image.deepcopy()
            light["classes"].append("only-light")
            dark["classes"].append("only-dark")
            place.append(dark)


def in_vectors(app, image: nodes.image) -> None:
    """Show a figure of Matplotlib's on a page that is no notebook as the notebooks' pages do: an SVG, and the README's PNG,
    which is a figure of a notebook. Its file lies where theirs do."""
    file = Path(app.srcdir, app.env.relfn2path(image["uri"])[0])
    if file.name == notebooks.FRONT_PICTURE.name:
        svg = vectors_of(notebooks.read(Path(app.srcdir, "notebooks", f"{notebooks.FRONT[0]}.ipynb")), notebooks.FRONT[1])
    elif file.suffix == ".svg":
        svg = file.read_text(encoding="utf-8")
    else:
        return
    drawn = Path(app.outdir).parent / "jupyter_execute" / "book" / f"{file.stem}.svg"
    drawn.parent.mkdir(parents=True, exist_ok=True)
    drawn.write_text(pictures.page(svg), encoding="utf-8")
    image["uri"] = f"/{os.path.relpath(drawn, app.srcdir)}"


def vectors_of(notebook, figure: str) -> str:
    """The SVG of a figure, by the name in its cell's metadata. Raises NotebookError where there is none."""
    for cell in notebooks.code_cells(notebook):
        if cell.metadata.get("mystnb", {}).get("figure", {}).get("name") == figure:
            for output in cell.outputs:
                if packed := output.get("data", {}).get(pictures.MIME):
                    return pictures.unpack(packed)
    raise notebooks.NotebookError(f"no figure {figure!r} in vectors")


def dark_ones(app, pagename, templatename, context, doctree) -> None:
    """The second of two pictures shows the file of the first in the colours of a dark page."""
    if "body" in context:
        context["body"] = DARK_ONE.sub(rf"\1#{pictures.DARK}\2", context["body"])


def cards(app, doctree) -> None:
    """Mark tables of text: on a phone each row of them is a card, in which a cell has the name of its column before it, but
    for the first and where there are two."""
    for table in doctree.findall(nodes.table):
        entries = list(table.findall(nodes.entry))
        if max((len(e.astext()) for e in entries), default=0) <= LONG:
            continue
        table["classes"].append("cards")
        head = [e.astext() for row in (table.next_node(nodes.thead) or ()) for e in row]
        for row in (r for body in table.findall(nodes.tbody) for r in body):
            for name, entry in list(zip(head, row, strict=False))[1:] if len(head) > 2 else ():
                if entry.children:
                    entry[0].insert(0, nodes.inline("", f"{name}: ", classes=["column"]))


def unbroken(app, doctree) -> None:
    """Keep a number and its unit in one line, the name of a figure and its number, and a short formula and its punctuation;
    but for titles, which others read."""
    for element in doctree.findall(nodes.TextElement):
        if isinstance(element, nodes.title | nodes.literal | nodes.math | nodes.FixedTextElement):
            continue
        for place, text in enumerate(element.children):
            if isinstance(text, nodes.Text):
                element[place] = nodes.Text(UNIT.sub("\u00a0", NAMED.sub("\\1\u00a0", text)))
    for formula in list(doctree.findall(nodes.math)):
        if len(formula.astext()) <= SHORT and not isinstance(formula.parent, nodes.title):
            with_its_punctuation(formula)


def with_its_punctuation(formula: nodes.math) -> None:
    """Put a formula and the bracket before it and the punctuation after it where no line ends between them."""
    element, place = formula.parent, formula.parent.index(formula)
    kept = nodes.inline("", "", formula.deepcopy(), classes=["unbroken"])
    after = element[place + 1] if place + 1 < len(element) else None
    if isinstance(after, nodes.Text) and (marks := MARKS.match(after)):
        kept += nodes.Text(marks[0])
        element[place + 1] = nodes.Text(after[marks.end() :])
    before = element[place - 1] if place else None
    if isinstance(before, nodes.Text) and before.endswith("("):
        kept.insert(0, nodes.Text("("))
        element[place - 1] = nodes.Text(before[:-1])
    if len(kept) > 1:
        element[place] = kept


def setup(app):
    """Hook in: before Sphinx collects the titles and the images."""
    app.connect("source-read", prepare)
    app.connect("doctree-read", fold, priority=100)
    app.connect("doctree-read", pictures_of, priority=100)
    app.connect("doctree-read", cards)
    app.connect("doctree-read", unbroken)
    app.connect("html-page-context", dark_ones)
    return {"parallel_read_safe": True, "version": "1"}
