"""Pages that are made from the notebooks' own outputs: a directive for each, that writes MyST text.

    ```{fa-book} scorecard
    ```

Nothing here computes or stores a result: verdicts are read from the notebooks beside the pages, speeds from
`benchmarks/results.json`.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import fa_along
import fa_api
import fa_meta
import fa_scorecard
import fa_status
from docutils import nodes
from sphinx.util.docutils import SphinxDirective, SphinxRole

from fa_core import claims, experiments, notebooks, proofs, records, verification

STALE = fa_status.STALE


def gathered(source: Path, rows_of: Callable, key: str) -> dict[str, dict]:
    """What `rows_of` finds in the notebooks of the book's sources, by the rows' `key`, with each its notebook's name.
    Raises ValueError for what two cells show."""
    found = {}
    for file in sorted((source / "notebooks").glob("*.ipynb")):
        for row in rows_of(notebooks.read(file)):
            if row[key] in found:
                raise ValueError(f"{row[key]!r} is reported twice, the second time in {file.name}")
            found[row[key]] = row | {"in": file.stem}
    return found


@cache
def verdicts(source: Path) -> dict[str, dict]:
    """The reported claims by id, from the notebooks in the book's sources."""
    return gathered(source, notebooks.verdicts, "id")


def cell(text: str) -> str:
    """Text fit for a cell of a MyST table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def table(head: list[str], rows: list[list[str]]) -> str:
    """A MyST table."""
    return "\n".join("| " + " | ".join(r) + " |" for r in [head, ["---"] * len(head), *rows]) + "\n"


def title(source: Path, name: str) -> str:
    """The title of a notebook."""
    return notebooks.read(source / "notebooks" / f"{name}.ipynb").cells[0].source.splitlines()[0].removeprefix("# ")


def rows(source: Path) -> dict[str, dict]:
    """What became of every claim of the ledger, by id. Raises ValueError where no notebook reports one."""
    found = verdicts(source)
    complete("claims", claims.ledger(), found)
    return {k: found[k] for k in claims.ledger()}


def complete(what: str, wanted: Iterable[str], found: dict) -> None:
    """Raises ValueError for what the book's notebooks leave out: a page that said so would be published as if whole."""
    if missing := [k for k in wanted if k not in found]:
        raise ValueError(
            f"no notebook of the book's sources reports the {what} {', '.join(missing)}: is one missing there, "
            "or to be executed again?"
        )


def counts(source: Path) -> str:
    """One paragraph: how many claims there are of each verdict."""
    return claims.counted(row["verdict"] for row in rows(source).values())


def evidence(source: Path, link: Callable[[str], str]) -> str:
    """The verdicts on all claims as one picture."""
    return fa_scorecard.evidence(rows(source), link("book/scorecard"))


def scorecard(source: Path, link: Callable[[str], str]) -> str:
    """Every claim of the ledger in a table, a part for each notebook."""
    return tabled(claims.ledger(), rows(source), source, link)


def later(source: Path, link: Callable[[str], str]) -> str:
    """The claims of later papers that a notebook reports, in such a table."""
    found = verdicts(source)
    ledger = {id: c for id, c in claims.ledger(section="after").items() if id in found}
    return tabled(ledger, found, source, link) if ledger else "<p>No notebook reports any yet.</p>"


def tabled(ledger: dict, rows: dict[str, dict], source: Path, link: Callable[[str], str]) -> str:
    """A table of claims, with its links."""

    def cell_of(name: str, id: str) -> str:
        return link(f"notebooks/{name}") + (f"#{anchor(id)}" if id else "")

    return fa_scorecard.table(
        ledger, {id: rows[id] for id in ledger}, {c.notebook: title(source, c.notebook) for c in ledger.values()}, cell_of
    )


def anchor(id: str) -> str:
    """The name, on a notebook's page, of the output that judges a claim."""
    return f"judged-{id}"


def value(source: Path, asked: str) -> str:
    """A number of a claim, filled into prose: `id`, or `id what`, or `id what format`.

    `what`: value, low or high (the ends of its interval), n, or a further condition by its name in quotation marks; the
    format is Python's, such as .2f; `.3g` by default. Raises ValueError for what the notebooks' outputs do not have.
    """
    found = re.fullmatch(r'([\w.-]+)(?: (value|low|high|n|"[^"]+"))?(?: (\.\d[efg%]))?', asked)
    if not found:
        raise ValueError(f"{asked!r} is not `id`, `id what` or `id what format`")
    id, what, form = found[1], found[2] or "value", found[3] or ".3g"
    row = verdicts(source).get(id)
    if row is None or row["verdict"] == claims.UNTESTED:
        raise ValueError(f"{id!r} is no claim that a notebook has tested")
    number, ends = fa_scorecard.numbers(row)
    named = {"value": number, "n": float(row["n"])} | dict(zip(("low", "high"), ends, strict=False))
    named |= {f'"{c["what"]}"': float(c["value"]) for c in row["also"]}
    if what not in named:
        raise ValueError(f"{id!r} has no {what}; it has: {', '.join(named)}")
    return format(named[what], form).replace("-", "−")


class Ours(SphinxRole):
    """A number of ours in the text, from a notebook's output: {ours}`fig2b.angle-shrinks value .0f`."""

    def run(self):
        try:
            return [nodes.Text(value(Path(self.env.srcdir), self.text))], []
        except ValueError as error:
            message = self.inliner.reporter.error(f"ours: {error}", line=self.lineno)
            return [self.inliner.problematic(self.rawtext, self.rawtext, message)], [message]


class Judged(SphinxRole):
    """The mark and the word of a verdict, linked to its row on the scorecard: {judged}`fig2b.angle-shrinks`."""

    def run(self):
        row = rows(Path(self.env.srcdir)).get(self.text)
        if row is None:
            message = self.inliner.reporter.error(f"judged: {self.text!r} is no claim", line=self.lineno)
            return [self.inliner.problematic(self.rawtext, self.rawtext, message)], [message]
        address = self.env.app.builder.get_relative_uri(self.env.docname, "book/scorecard")
        words = f"{claims.MARKS[row['verdict']]} {row['verdict']}"
        return [
            nodes.reference(
                "",
                words,
                refuri=f"{address}#{self.text}",
                internal=True,
                classes=["judged", *fa_scorecard.kind(row["verdict"]).split()],
            )
        ], []


def with_anchors(app, doctree) -> None:
    """Give each verdict on a notebook's page a name that a link can lead to."""
    for node in doctree.findall(nodes.raw):
        if found := re.match(r"<table class='verdict[^']*'>.*?\(([\w.-]+)\)</td>", node.astext()):
            named = node.astext().replace("<table", f"<table id='{anchor(found[1])}'", 1)
            node.children = [nodes.Text(named)]


@cache
def state(source: Path) -> fa_status.State:
    """The notebooks and the records, read once."""
    return fa_status.State(source)


def record_of(row: dict) -> records.Result:
    """The record that an output shows. Raises LookupError that says why it cannot be had."""
    experiment = experiments.registry().get(row["experiment"])
    if experiment is None or experiment.digest != row["digest"]:
        raise LookupError("of an experiment that the module no longer describes")
    try:
        return records.load(experiment)
    except (FileNotFoundError, records.RecordError) as error:
        raise LookupError("the record is no longer there, or damaged") from error


def standing(row: dict) -> verification.Standing:
    """How the record that an output shows stands to the sources of today."""
    try:
        return verification.standing(record_of(row))
    except LookupError as error:
        return verification.Standing(False, str(error))


def clone(source: Path) -> str:
    """The command that gets the repository, where it has a name."""
    address = fa_meta.repository(source)
    return f"```bash\ngit clone {address}\n```\n" if address else ""


def speed(source: Path) -> str:
    """The benchmark's ratios."""
    results = json.loads((source / "benchmarks" / "results.json").read_text(encoding="utf-8"))
    rows = []
    for r in results["rows"]:
        ratio = r["ratio"]
        target = "–" if r["target"] is None else f"at most {r['target']:.2g}: {'met' if r['met'] else 'missed'}"
        rows.append(
            [
                r["network"],
                str(r["batch"]),
                cell(r["contender"]),
                f"{ratio['median']:.2g} [{ratio['low']:.2g}, {ratio['high']:.2g}]",
                target,
            ]
        )
    machine = results["machine"]
    return (
        f"Measured on {results['date'][:10]} at commit {results['commit']} on {machine['processor']} "
        f"({machine['cores']} cores; {', '.join(machine['instructions'])}), {results['threads']} thread"
        f"{'s' * (results['threads'] != 1)}, Python {results['python']}, "
        f"PyTorch {results['torch']}, NumPy {results['numpy']}.\n\n{peers_ahead(results['rows'])}\n\n"
        f"{beside_biotorch(results['rows'])}\n\n" + table(["network", "batch", "step", "time / autograd step", "aim"], rows)
    )


def peers_ahead(rows: list[dict]) -> str:
    """Which of those that one would take instead are quicker than the quickest of ours on the same network."""
    peers = [r for r in rows if r["peer"]]
    if not peers:
        return "Of others, only autograd was measured."
    ahead = []
    for peer in peers:
        ours = [
            r
            for r in rows
            if not r["peer"]
            and (r["network"], r["batch"]) == (peer["network"], peer["batch"])
            and "matrix products" not in r["contender"]
            and "spiking" not in r["contender"]
            and "bfloat16" not in r["contender"]
        ]
        best = min(ours, key=lambda r: r["ratio"]["median"])
        if peer["ratio"]["median"] < best["ratio"]["median"]:
            ahead.append(
                f"{peer['contender']} at {peer['network']}, {peer['batch']} "
                f"({peer['ratio']['median']:.3g}; {best['contender']}: {best['ratio']['median']:.3g})"
            )
    quicker = "; ".join(ahead) or "nobody"
    return f"Ahead of our quickest, both in float32: {quicker}. {len(peers)} measurements of others are compared."


def beside_biotorch(rows: list[dict]) -> str:
    """The time of a step of the layers of `fa_core.nn` as a ratio to BioTorch's, and what either holds in memory."""
    found: dict[str, list[str]] = {}
    theirs = {(r["network"], r["batch"]): r["megabytes"] for r in rows if r["contender"].startswith("BioTorch")}
    for r in rows:
        if r["biotorch"]:
            case, rule = (r["network"], r["batch"]), r["contender"].rpartition(", ")[2]
            memory = f"{r['megabytes']:.3g} MB for {theirs[case]:.3g}"
            found.setdefault(f"{case[0]} at {case[1]} ({memory})", []).append(f"{r['biotorch']['median']:.2f} {rule}")
    said = "; ".join(f"{case}: {', '.join(ratios)}" for case, ratios in found.items())
    return f"A step of the layers of {{mod}}`fa_core.nn`, its time to that of BioTorch's step: {said}." if said else ""


def equations(source: Path) -> str:
    """Every numbered equation of the paper, with what became of it and the notebook that shows it."""
    found = gathered(source, notebooks.equations, "key")
    complete("equations", (key for keys in proofs.NUMBERED.values() for key in keys), found)
    tally = Counter(row["kind"] for row in found.values())
    text = [
        f"Of the {sum(map(len, proofs.NUMBERED.values()))} numbered equations, by what became of them: "
        + "; ".join(f"**{kind}**: {n}" for kind, n in tally.most_common())
        + ".\n"
    ]
    for part, keys in proofs.NUMBERED.items():
        rows = []
        for key in keys:
            number, row = f"**({key.split()[1]})**", found[key]
            says = f"{number} {formula(row['says'])}"
            says += f"<br>corrected: {formula(row['corrected'])}" if row["corrected"] else ""
            link = f"[{row['in'][:2]}](../notebooks/{row['in']}.ipynb)"
            rows.append([says, f"**{row['kind']}** ({link}): {cell(row['how'])}"])
        shown = table(["equation, as printed", "here (notebook): how"], rows)
        text.append(f"## {part}\n\n{shown}")
    return "\n".join(text)


def formula(latex: str) -> str:
    """LaTeX as mathematics fit for a cell of a MyST table, a line to each clause: a bar would end the cell."""
    plain = " ".join(latex.split()).replace("\\|", "\\Vert ").replace("|", "\\vert ")
    return ";<br>".join(f"${clause}$" for clause in proofs.clauses(plain))


PAGES = {
    "clone": clone,
    "counts": counts,
    "equations": equations,
    "speed": speed,
    "modules": lambda source: fa_api.overview(),
    "api": lambda source, name: fa_api.page(name),
}
HTML = {"evidence": evidence, "scorecard": scorecard, "later": later}  # given the addresses of other pages
HTML |= {
    name: lambda source, link, made=made: made(state(source), link)
    for name, made in {
        "machines": fa_status.machines,
        "executed": fa_status.executed,
        "records": fa_status.all_records,
        "rests": fa_status.rests,
    }.items()
}


class Generated(SphinxDirective):
    """Text or HTML made from the notebooks and the module: one of `PAGES` or of `HTML`, and which of several."""

    required_arguments = 1
    optional_arguments = 1

    def run(self):
        name, source = self.arguments[0], Path(self.env.srcdir)
        if name not in PAGES and name not in HTML:
            raise self.error(f"unknown page {name!r}; there are: {', '.join([*PAGES, *HTML])}")

        def link(page: str) -> str:
            return self.env.app.builder.get_relative_uri(self.env.docname, page)

        try:
            if name in HTML:
                return [nodes.raw("", HTML[name](source, link), format="html")]
            return self.parse_text_to_nodes(PAGES[name](source, *self.arguments[1:]), allow_section_headings=True)
        except ValueError as error:
            raise self.error(f"fa-book {name}: {error}") from error


WITH_TABLES = ("book/scorecard", "book/status")


def scripts(app, pagename, templatename, context, doctree):
    """Leave out the scripts of Thebe, which Jupyter Book always adds: unused here, twice on a page, and from a network.
    Pages with tables to be searched have one of ours."""
    if pagename in WITH_TABLES:
        app.add_js_file("tables.js")
    there = ((s, f"{s} {getattr(s, 'attributes', '')}".lower()) for s in context["script_files"])
    context["script_files"] = [s for s, text in there if "thebe" not in text]


def around(app, pagename, templatename, context, doctree):
    """Each page says what it is, and a notebook's how to take it along."""
    if doctree is None or app.builder.name == "singlehtml":
        return
    source, title = Path(app.srcdir), re.sub("<[^>]+>", "", context["title"])
    context["metatags"] = context.get("metatags", "") + fa_along.tags(
        title, fa_along.description(doctree), app.config.html_title or app.config.project, app.config.html_baseurl
    )
    context["body"] += fa_along.along(pagename, source, app.config.repository)


def norms(app, what, name, obj, options, lines):
    """A bar in a docstring is one of a norm: what is between two is no substitution of reStructuredText."""
    for k, line in enumerate(lines):
        lines[k] = re.sub(r"(`+[^`]*`+)|\\?\|", lambda found: found[1] or "\\|", line)


ICON = re.compile(r"""(?:"([a-z0-9-]+)"|([a-z0-9]+)):\[\d+,\d+,(\[[^\]]*\]),"[0-9a-f]+",(?:"[^"]*"|\[[^\]]*\])\],?""")


def icons(script: str, shown: set[str]) -> str:
    """The theme's script of icons with those that are shown, by their names or other names, and no other of its 2000."""
    return ICON.sub(lambda icon: icon[0] if shown & {icon[1] or icon[2], *re.findall(r'"([^"]+)"', icon[3])} else "", script)


def less_icons(app, exception) -> None:
    """Leave out of the theme's script, which every page loads, the icons that neither a page nor another script names."""
    file = Path(app.outdir) / "_static" / "scripts" / "fontawesome.js"
    if exception or not file.exists():
        return
    text = [f.read_text(encoding="utf-8") for f in Path(app.outdir).rglob("*.html")]
    text += [f.read_text(encoding="utf-8") for f in file.parent.glob("*.js") if f != file]
    shown = {name for t in text for name in re.findall(r"\bfa-([a-z0-9-]+)", t)}
    file.write_text(icons(file.read_text(encoding="utf-8"), shown), encoding="utf-8")


def setup(app):
    """Register the directive and the roles."""
    app.add_directive("fa-book", Generated)
    app.add_role("ours", Ours())
    app.add_role("judged", Judged())
    app.connect("autodoc-process-docstring", norms)
    app.connect("doctree-read", with_anchors)
    app.connect("html-page-context", scripts, priority=900)
    app.connect("html-page-context", around)
    app.connect("build-finished", less_icons)
    app.add_config_value("repository", "", "html")
    return {"parallel_read_safe": True, "version": "1"}
