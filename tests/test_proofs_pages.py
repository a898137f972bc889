"""How a page shows theorems and proofs."""

import sys

import pytest
from docutils import nodes
from docutils.utils import new_document

from fa_core import notebooks


@pytest.fixture
def fa_proofs(monkeypatch):
    monkeypatch.syspath_prepend(str(notebooks.ROOT / "book" / "_ext"))
    import fa_proofs

    yield fa_proofs
    sys.modules.pop("fa_proofs", None)


def test_a_proof_is_folded_and_what_stands_around_it_is_not(fa_proofs):
    page = new_document("page")
    parts = [
        nodes.paragraph(text="Theorem."),
        fa_proofs.proof_node("", nodes.paragraph(text="Because.")),
        nodes.paragraph(text="So."),
    ]
    page += nodes.section("", *parts)
    fa_proofs.fold(None, page)
    assert [p.astext() for p in page[0].children] == [
        "Theorem.",
        "<details class='folded proof'><summary>Proof</summary>",
        "Because.",
        "</details>",
        "So.",
    ]
