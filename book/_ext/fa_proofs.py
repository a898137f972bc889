"""Proofs are folded: a theorem is read first, and what shows it opens by a click."""

from docutils import nodes
from sphinx_proof.nodes import proof_node


def fold(app, doctree) -> None:
    """Put each proof into a folded part that its first word, "Proof", opens."""
    for proof in list(doctree.findall(proof_node)):
        opens = "<details class='folded proof'><summary>Proof</summary>"
        at = proof.parent.index(proof)
        proof.parent[at : at + 1] = [nodes.raw("", opens, format="html"), proof, nodes.raw("", "</details>", format="html")]


def setup(app):
    """Register what is done to the document."""
    app.connect("doctree-read", fold)
    return {"parallel_read_safe": True, "version": "1"}
