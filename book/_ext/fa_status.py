"""The run status: what the notebooks ran on, the records, and which claims rest on which of them. HTML.

A machine has one letter on the whole page; what it is stands in a table of its own.
"""

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from functools import cached_property
from pathlib import Path

import fa_rests
from fa_scorecard import text

from fa_core import claims, experiments, notebooks, records, verification

STALE = "⚠"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class State:
    """What there is: the book's notebooks as they were executed, and all records with how they stand to the code."""

    def __init__(self, source: Path):
        self.notebooks = {f.stem: notebooks.read(f) for f in sorted((source / "notebooks").glob("[0-9]*.ipynb"))}
        self.described = experiments.registry()

    @cached_property
    def records(self) -> list[records.Result]:
        """The records there are of experiments that the module describes, those that took longest first."""
        found = [records.load(e) for e in self.described.values() if records.path(e).exists()]
        return sorted(found, key=lambda r: -r.about["wall_seconds"])

    @cached_property
    def standing(self) -> dict[str, verification.Standing]:
        """How each record stands to the sources of today, by the experiment's name."""
        return {r.experiment.name: verification.standing(r) for r in self.records}

    @cached_property
    def machines(self) -> dict[str, str]:
        """A letter for each machine, by what is known of it: that with most records first, then those of the notebooks."""
        made = Counter(r.about["device"] for r in self.records)
        ran = [n.metadata["fa_core"]["machine"]["device"] for n in self.notebooks.values() if "fa_core" in n.metadata]
        known = [*(device for device, _ in made.most_common()), *ran]
        return dict(zip(dict.fromkeys(known), LETTERS, strict=False))

    @cached_property
    def used_in(self) -> dict[str, list[str]]:
        """The notebooks that use an experiment, by its name."""
        found: dict[str, list[str]] = {}
        for name, notebook in self.notebooks.items():
            for experiment in fa_rests.mentioned(notebook):
                found.setdefault(experiment.name, []).append(name)
        return found


def row(cells: list[str], head: bool = False) -> str:
    """A row of a table, of cells that are HTML."""
    kind = "th scope='col'" if head else "td"
    return "<tr>" + "".join(f"<{kind}>{c}</{kind[:2]}>" for c in cells) + "</tr>"


def table(head: list[str], rows: list[list[str]], classes: str = "") -> str:
    """A table of cells that are HTML, in a box that scrolls where the table is wider, or `sortable` and long."""
    body, name = "".join(map(row, rows)), f"{head[0]} and {head[1]}"
    return (
        f"<div class='book-scrolls {classes}' tabindex='0' role='region' aria-label='{name}'>"
        f"<table class='book-table {classes}'><thead>{row(head, head=True)}</thead><tbody>{body}</tbody></table></div>"
    )


def machines(state: State, link: Callable[[str], str]) -> str:
    """Each machine once: what is known of it, and what was made there."""
    rows = []
    for device, letter in state.machines.items():
        made = [r for r in state.records if r.about["device"] == device]
        hours = sum(r.about["wall_seconds"] for r in made) / 3600
        versions = Counter(
            f"Python {r.about['versions']['python']}, PyTorch {r.about['versions']['torch']}, "
            f"NumPy {r.about['versions']['numpy']}"
            for r in made
        )
        threads = sorted({str(r.about["threads"]) for r in made})
        rows.append(
            [
                letter,
                text(device),
                str(len(made)),
                f"{hours:.1f}",
                text(", ".join(threads)) or "–",
                text("; ".join(v for v, _ in versions.most_common())) or "–",
            ]
        )
    return table(["machine", "processor", "records", "hours", "threads", "with"], rows)


def executed(state: State, link: Callable[[str], str]) -> str:
    """The notebooks: when each was executed for this book, where, and where the results that it shows come from."""
    rows = []
    for name, notebook in state.notebooks.items():
        about, shown = notebook.metadata.get("fa_core"), Counter(r["source"] for r in notebooks.results(notebook))
        when = ["–", "–", "–"]
        if about:
            when = [
                f"{datetime.fromisoformat(about['executed']):%Y-%m-%d %H:%M}",
                f"{about['seconds']:.0f}",
                state.machines[about["machine"]["device"]],
            ]
        rows.append([f"<a href='{link(f'notebooks/{name}')}'>{name}</a>", *when, str(shown["record"]), str(shown["live"])])
    none = all(r[1] == "–" for r in rows)
    said = (
        "None was executed for this build: the pages show the committed outputs."
        if none
        else "Times are UTC. Where there is none, the page shows the committed outputs."
    )
    head = ["notebook", "executed", "seconds", "machine", "records shown", "runs shown that it made"]
    return f"<p>{said}</p>" + table(head, rows)


def all_records(state: State, link: Callable[[str], str]) -> str:
    """Every record in one table, to be sorted and searched."""
    rows = []
    for r in state.records:
        name, stands = r.experiment.name, state.standing[r.experiment.name]
        used = " ".join(f"<a href='{link(f'notebooks/{n}')}' title='{n}'>{n[:2]}</a>" for n in state.used_in.get(name, []))
        rows.append(
            [
                f"<span id='record-{name}' title='{r.experiment.digest}'>{text(name)}</span>",
                str(len(r.experiment.seeds)),
                state.machines[r.about["device"]],
                f"{r.about['wall_seconds'] / 60:.1f}",
                r.about["made"][:10],
                f"<code>{text(r.about['commit'][:7])}</code>",
                used or "–",
                f"<span title='{text(stands.text)}'>{verified(stands)}</span>",
            ]
        )
    hours = sum(r.about["wall_seconds"] for r in state.records) / 3600
    current = sum(s.current for s in state.standing.values())
    unused = sum(r[6] == "–" for r in rows)
    least = sum(records.last_stretch_only(r.about) for r in state.records)
    return (
        f"<p>{len(rows)} records, at least {hours:.1f} hours in all: of {least} that were made before a record kept its "
        f"run's interruptions, the minutes may be of the last stretch alone. {current} of them speak for the code as it is; "
        f"{len(rows) - current} have not been verified since it changed. {unused} are named in no notebook.</p>"
        "<form class='book-search' data-of='records' hidden role='search'><label>Search the records "
        "<input type='search' autocomplete='off'></label> <output aria-live='polite'></output></form>"
        + table(["experiment", "seeds", "machine", "minutes", "made", "commit", "used in", "verified"], rows, "sortable")
    )


def verified(stands: verification.Standing) -> str:
    """In two words, whether a record speaks for the code as it is."""
    if stands.current:
        return "✓ made by it" if stands.text.startswith("made by") else "✓ run again"
    return f"{STALE} unknown source" if "unknown source" in stands.text else f"{STALE} changed since"


def rests(state: State, link: Callable[[str], str]) -> str:
    """Which claims rest on which records: a row for claims that rest on the same."""
    found: dict[tuple[str, ...], list[str]] = {}
    for notebook in state.notebooks.values():
        for id, named in fa_rests.Code(notebook).claims().items():
            found.setdefault(tuple(e.name for e in named), []).append(id)
    page, rows, every = link("book/scorecard"), [], claims.ledger() | claims.ledger(section="after")
    minutes = {r.experiment.name: r.about["wall_seconds"] / 60 for r in state.records}
    recorded = experiments.registry(recorded=True)
    for names, ids in sorted(found.items(), key=lambda item: min(map(list(every).index, item[1]))):
        there = [n for n in names if n in minutes]
        if not there:
            continue
        stale = sum(not state.standing[n].current for n in there)
        others = (f"{n} ({'not run yet' if n in recorded else 'run in the notebook'})" for n in names if n not in minutes)
        rows.append(
            [
                " ".join(f"<a href='{page}#{id}' title='{text(every[id].states)}'>{id}</a>" for id in ids),
                " ".join([*(f"<a href='#record-{n}'>{n}</a>" for n in there), *others]),
                f"{sum(minutes[n] for n in there):.0f}",
                f"{STALE} not {stale} of {len(there)}" if stale else "✓",
            ]
        )
    by_itself = sum(len(ids) for names, ids in found.items() if not any(n in minutes for n in names))
    return (
        f"<p>{sum(map(len, found.values()))} claims are judged. {by_itself} of them rest on what their notebook itself "
        "computes when it is executed; the others, the paper's and later papers', on these records, at most:</p>"
        + table(["claims", "records", "minutes", "verified"], rows, "rests")
    )
