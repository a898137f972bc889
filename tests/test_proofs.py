"""The account of the paper's equations: what may be said of one, and that its check is run."""

import pytest

from fa_core import notebooks, proofs
from fa_core.proofs import CHECKED, DERIVED, WRONG, Equation, ProofError

PRESENT = [row["key"] for name in notebooks.names() for row in notebooks.equations(notebooks.read(notebooks.path(name)))]


def test_a_check_is_run_each_time_an_equation_is_shown():
    ran = []
    equation = Equation("SI 10", "a = a", DERIVED, "by hand", check=lambda *_: ran.append(1) or True)
    proofs.show([equation])
    proofs.show([equation])
    assert len(ran) == 2


@pytest.mark.parametrize("answer", [False, None, 1.0, "yes"])
def test_a_check_that_does_not_say_true_fails_and_names_the_equation(answer):
    with pytest.raises(ProofError, match=r"equation SI 10 \(derived, all sizes\): its check fails"):
        proofs.show([Equation("SI 10", "a = b", DERIVED, "by hand", check=lambda *_: answer)])


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"key": "SI 80"}, "numbers no equation 'SI 80'"),
        ({"kind": "believed"}, "unknown kind 'believed'"),
        ({"says": "a = ("}, "cannot read"),
        ({"kind": WRONG}, "a corrected form stands where"),
        ({"corrected": "a = c"}, "a corrected form stands where"),
    ],
    ids=str,
)
def test_an_account_that_contradicts_itself_is_refused(fields, says):
    plain = {"key": "SI 10", "says": "a", "kind": CHECKED, "how": "100 instances", "check": lambda *_: True}
    with pytest.raises(ValueError, match=says):
        Equation(**plain | fields)


def test_what_is_shown_carries_its_rows_and_escapes_what_html_would_take_for_a_tag():
    shown = proofs.show([Equation("SI 1", "x < 0", WRONG, "at x < 1", lambda *_: True, "x > 0")])._repr_mimebundle_()
    assert shown[proofs.MIME] == [{"key": "SI 1", "says": "x < 0", "kind": WRONG, "how": "at x < 1", "corrected": "x > 0"}]
    assert "x &lt; 0" in shown["text/html"]
    assert "<table" in shown["text/html"]


def test_each_clause_of_a_formula_is_set_on_a_line_of_its_own():
    assert proofs.maths(r"a = b;\ b < 1 \text{ if } c") == r"\(a = b\);<br>\(b &lt; 1 \text{ if } c\)"
    shown = proofs.show([Equation("SI 1", r"a;\ b", DERIVED, "by hand", lambda *_: True)])
    assert shown._repr_mimebundle_()["text/html"].count(r"\(") == 2
    assert all(
        len(proofs.clauses(row["corrected"])) == row["corrected"].count(";") + 1
        for name in notebooks.names()
        for row in notebooks.equations(notebooks.read(notebooks.path(name)))
    )


def test_no_equation_is_accounted_for_twice():
    assert len(PRESENT) == len(set(PRESENT))


def test_every_numbered_equation_is_accounted_for():
    assert {key for keys in proofs.NUMBERED.values() for key in keys} - set(PRESENT) == set()
