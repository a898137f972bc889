"""What a page offers to take along, and what it says of itself to search engines and to those who share it."""

import ast
import html
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import fa_rests
from docutils import nodes

from fa_core import notebooks

LENGTH = 200  # characters of a description
BRANCH = "main"


def imported(tree: ast.Module) -> Iterator[str]:
    """The modules that code imports as it begins."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def of_module(name: str) -> frozenset[str]:
    """What a module of ours imports; nothing of others, and of a name that is no module."""
    place = notebooks.ROOT / name.replace(".", "/")
    for file in (place.with_suffix(".py"), place / "__init__.py"):
        if file.exists():
            return frozenset(imported(ast.parse(file.read_text(encoding="utf-8"))))
    return frozenset()


def needs_torch(notebook) -> bool:
    """Whether a notebook's code needs PyTorch."""
    code = [s for c in notebooks.code_cells(notebook) for s in fa_rests.parsed(c.source)]
    seen, left = set(), list(imported(ast.Module(code, [])))
    while left:
        name = left.pop()
        if name in seen or not name:
            continue
        seen.add(name)
        left += [*of_module(name), name.rpartition(".")[0]]
    return "torch" in seen


def source_of(repository: str, file: str) -> str:
    """Where a file of the repository is shown, on GitHub, GitLab and those made like them."""
    way = "-/blob" if "gitlab" in urlsplit(repository).netloc else "blob"
    return f"{repository.rstrip('/')}/{way}/{BRANCH}/{file}"


def launchers(repository: str, name: str, notebook) -> dict[str, str]:
    """Where a notebook can be run in a browser, if the repository is on GitHub and PyTorch is not needed."""
    address = urlsplit(repository)
    if address.netloc != "github.com" or needs_torch(notebook):
        return {}
    owner = address.path.strip("/")
    return {
        "Open in Colab": f"https://colab.research.google.com/github/{owner}/blob/{BRANCH}/notebooks/{name}.ipynb",
        "Open in Binder": f"https://mybinder.org/v2/gh/{owner}/{BRANCH}?labpath=notebooks/{name}.ipynb",
    }


def along(docname: str, source: Path, repository: str) -> str:
    """The end of a page, as HTML: how to run its notebook alone, the book as a PDF, and with a repository where its source
    is."""

    def link(address: str, words: str) -> str:
        return f"<a href='{html.escape(address)}'>{words}</a>"

    up = "../" * docname.count("/")
    pdf = f"<a href='{up}book/how_to_read.html#as-one-pdf'>The whole book as one PDF</a>"
    ending = "ipynb" if docname.startswith("notebooks/") else "md"
    links = [link(source_of(repository, f"{docname}.{ending}"), "Source of this page")] if repository else []
    if ending == "md":
        return f"<p class='along'>{' · '.join([*links, pdf])}</p>"
    name, notebook = docname.split("/")[1], notebooks.read(source / f"{docname}.ipynb")
    links.insert(0, f"<a href='../_sources/{docname}.ipynb' download>Download this notebook</a>")
    online = launchers(repository, name, notebook)
    links += [link(address, words) for words, address in online.items()]
    needs = "It needs PyTorch" if needs_torch(notebook) else "It does not need PyTorch"
    clone = f"git clone {repository}\n" if repository else ""
    package = html.escape(f"%pip install git+{repository}")
    first = f"<p>In Colab, put <code>{package}</code> into a first cell.</p>" if online else ""
    return (
        "<details class='along'><summary>Take this notebook along, and run it alone</summary>"
        f"<p>{' · '.join([*links, pdf])}</p><p>In the repository, once <code>make book</code> or <code>make test</code> has "
        "made its environment; the second executes it small, in about a minute:</p>"
        f"<pre>{html.escape(clone)}.venv/bin/jupyter lab notebooks/{name}.ipynb\n"
        f".venv/bin/fa_core run {name} --profile smoke --out _build/mine</pre>"
        f"<p>{needs}. Elsewhere <code>pip install .</code> of the repository is enough for what is trained in the "
        f"notebook; records of long runs are in the repository alone.</p>{first}</details>"
    )


def description(doctree: nodes.document) -> str:
    """The beginning of a page's first paragraph, without mathematics, to the end of a word."""
    for paragraph in doctree.findall(nodes.paragraph):
        if any(isinstance(up, nodes.Admonition | nodes.table | nodes.list_item) for up in ancestors(paragraph)):
            continue
        text = " ".join(paragraph.astext().split())
        if len(text) > 40:
            return text if len(text) <= LENGTH else re.sub(r"[\s,;:]+\S*$", "", text[:LENGTH]) + " …"
    return ""


def ancestors(node: nodes.Node) -> Iterator[nodes.Node]:
    """The nodes that a node is in."""
    while (node := node.parent) is not None:
        yield node


def tags(title: str, text: str, site: str, base: str) -> str:
    """What the head of a page says of it: to search engines, and as a card where it is shared. A picture needs an absolute
    address, `base`, which is that of the published book."""
    said = {
        "name='description'": text,
        "property='og:title'": title,
        "property='og:description'": text,
        "property='og:type'": "article",
        "property='og:site_name'": site,
    }
    if base:
        said |= {"property='og:image'": f"{base.rstrip('/')}/_static/readme.png"}
    said |= {"name='twitter:card'": "summary_large_image" if base else "summary"}
    return "\n".join(f'<meta {key} content="{html.escape(value)}">' for key, value in said.items() if value)
