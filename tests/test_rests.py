"""What a claim rests on, read from code: on notebooks written for it, and on the book's own."""

import sys
from pathlib import Path

import nbformat
import pytest

from fa_core import claims, notebooks
from fa_core.experiments import after

sys.path.insert(0, str(Path(__file__).parents[1] / "book" / "_ext"))
import fa_rests


def notebook(*cells: str, judges: str = "a.claim", verdict: str = claims.REPRODUCED):
    """A notebook whose last cell judged a claim."""
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    made.cells[-1].outputs = [nbformat.v4.new_output("display_data", {claims.MIME: {"id": judges, "verdict": verdict}})]
    return made


def found(*cells: str, **how) -> list[str]:
    return [e.name for e in fa_rests.Code(notebook(*cells, **how)).claims().get("a.claim", ())]


DESCRIBED = "from fa_core.experiments import mnist\nfrom fa_core.experiments.mnist import SPARSE"
FOUR = (
    DESCRIBED + "\ndef get(e):\n    return records.get(e)\n"
    "r = {'one': get(mnist.BACKPROP), 'two': get(mnist.SHALLOW), 'three': get(SPARSE)}"
)


@pytest.mark.parametrize(
    ("cells", "names"),
    [
        ((FOUR, "x = r['two'].mean()\nreport('a.claim', x)"), ["mnist-shallow"]),
        ((FOUR, "x, y = r['two'].mean(), r['three']\nreport('a.claim', y)"), ["mnist-sparse"]),
        ((FOUR, "report('a.claim', 1.0, n=len(r['two']), interval=f(r['three']))"), ["mnist-sparse"]),
        ((FOUR, "x = [r[k] for k in ('one', 'two')]", "report('a.claim', *x)"), ["mnist-backprop", "mnist-shallow"]),
        ((FOUR, "x = [r[f't{k}'] for k in things]", "report('a.claim', *x)"), ["mnist-shallow", "mnist-sparse"]),
        ((FOUR, "def f():\n    return r['one']", "report('a.claim', f())"), ["mnist-backprop"]),
        ((FOUR, "def judge(id, e):\n    report(id, r[e.name])", "judge('a.claim', SPARSE)"), ["mnist-sparse"]),
        ((FOUR, "id = 'a.claim'\nif ok:\n    y = r['one']\n    report(id, y)"), ["mnist-backprop"]),
        ((FOUR, "x = r['one']\nx = r['two']\nreport('a.claim', x)\nx = r['three']"), ["mnist-shallow"]),
        ((FOUR, "x = r['one']\nif ok:\n    x = r['two']\nreport('a.claim', x)"), ["mnist-backprop", "mnist-shallow"]),
        ((FOUR, "x = r['one']\nx -= r['two']\nreport('a.claim', x)"), ["mnist-backprop", "mnist-shallow"]),
        (
            (FOUR, "for x in r.values():\n    pass\nreport('a.claim', x)"),
            ["mnist-backprop", "mnist-shallow", "mnist-sparse"],
        ),
        ((FOUR, "for k in ks:\n    x = r['one']\n    y[k] = x\nx = r['two']\nreport('a.claim', y)"), ["mnist-backprop"]),
        (
            (FOUR, "x = r['two']\nfor k in ks:\n    x = x + r['one']\nreport('a.claim', x)"),
            ["mnist-backprop", "mnist-shallow"],
        ),
        ((DESCRIBED, "x = np.zeros(3)\nreport('a.claim', x)"), []),
    ],
)
def test_a_claim_rests_on_what_its_value_was_made_from(cells, names):
    assert found(*cells) == names


def test_what_a_cell_shows_rests_on_what_its_functions_are_given():
    code = notebook(
        FOUR + "\nx = r['one']\ndef draw(e):\n    ax.plot(r[e.name])",
        "draw(mnist.SHALLOW)",
        "for e in [SPARSE]:\n    draw(e)",
        "for k in ks:\n    x = r['two']\n    ax.plot(x)",
    )
    every = {"mnist-backprop", "mnist-shallow", "mnist-sparse"}
    assert fa_rests.Code(code).shown() == [every, {"mnist-shallow"}, {"mnist-sparse"}, {"mnist-shallow"}]


def test_what_was_not_tested_rests_on_nothing():
    assert found(FOUR, "report('a.claim', r['one'], untested='so')", verdict=claims.UNTESTED) == []


OWN = {  # by reading the notebooks
    "03_mnist": {"fig3a.sparse": ["mnist-sparse"], "fig3a.shallow-worse": ["mnist-feedback-alignment", "mnist-shallow"]},
    "05_spiking": {"fig4.test-error": ["fig4-network"]},
    "06_mechanics": {"fig5c.phase-3": ["mechanics-phases", "mechanics-phases-fresh", "mechanics-phases-skipped"]},
    "08_mnist_extended": {"sn5.dropout": ["note5-dropout"], "sn5.relu-fails": ["extended-leaky", "extended-relu"]},
    "02_linear": {"fig2b.angle-shrinks": []},
    "20_after_2016": {  # reported by one call where the runs are there, and by another where they are not
        "after.direct-mnist": [f"after-wide-{r}" for r in ("backprop", "direct-feedback-alignment", "feedback-alignment")],
        "after.direct-table": sorted(e.name for e in after.TABLE_RUNS.values()),
    },
}


@pytest.mark.parametrize("name", OWN)
def test_the_books_own_claims_rest_on_what_they_do(name):
    by_claim = fa_rests.Code(notebooks.read(notebooks.path(name))).claims()
    for id, names in OWN[name].items():
        assert [e.name for e in by_claim[id]] == names


@pytest.mark.parametrize("name", notebooks.names())
def test_every_judged_claim_is_followed_and_every_record_shown_is_named(name):
    notebook = notebooks.read(notebooks.path(name))
    judged = {v["id"] for v in notebooks.verdicts(notebook) if v["verdict"] != claims.UNTESTED}
    assert set(fa_rests.Code(notebook).claims()) == judged
    shown = {r["experiment"] for r in notebooks.results(notebook) if r["source"] == "record"}
    assert shown <= {e.name for e in fa_rests.mentioned(notebook)}
