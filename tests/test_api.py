"""The pages of the module have every public module, once."""

import re
import sys
from pathlib import Path

import pytest

from fa_core import notebooks

sys.path.insert(0, str(Path(__file__).parents[1] / "book" / "_ext"))
import fa_api


def test_every_module_is_on_one_page_and_every_page_is_in_the_book():
    shown = [m for name in fa_api.GROUPS for m in re.findall(r"automodule:: fa_core\.(\S+)", fa_api.page(name))]
    files = {p.relative_to(notebooks.ROOT / "fa_core") for p in (notebooks.ROOT / "fa_core").rglob("*.py")}
    public = {".".join(f.with_suffix("").parts).removesuffix(".__init__") for f in files} - {"__init__"}
    assert sorted(shown) == sorted(m for m in public if not re.search(r"(^|\.)_(?!_main__)", m))
    pages = re.findall(r"file: book/api/(\w+)", (notebooks.ROOT / "_toc.yml").read_text())
    assert pages == list(fa_api.GROUPS)
    for name in pages:
        text = (notebooks.ROOT / "book" / "api" / f"{name}.md").read_text()
        assert text.startswith(f"# {fa_api.GROUPS[name][0]}\n\n{fa_api.GROUPS[name][1]}\n")
        assert f"```{{fa-book}} api {name}\n```" in text


def test_every_name_in_the_groups_is_a_module_and_every_module_says_what_it_is():
    named = [m for *_, members in fa_api.GROUPS.values() for m in members]
    assert len(named) == len(set(named))
    assert set(named) <= set(fa_api.modules())
    for module in fa_api.modules():
        assert len(fa_api.says(module)) > 20, module
        assert not fa_api.says(module).endswith(":"), "the code that follows in the docstring is not shown here"


def test_a_package_comes_before_its_parts_and_a_new_module_is_not_left_out():
    assert fa_api.members("data")[0] == "data"
    assert fa_api.group("data.anything.new") == "data"
    assert fa_api.group("anything_new") in fa_api.GROUPS


def test_a_group_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="no group 'engine' of modules; there are: data, "):
        fa_api.page("engine")


def test_what_a_module_defines_has_what_is_cached_or_compiled_and_nothing_that_it_imports():
    assert {"ledger", "Reporter"} <= set(fa_api.public("claims"))
    assert {"steps", "linear"} <= set(fa_api.public("compiled"))
    assert not {"Path", "Any", "tomllib", "cache"} & set(fa_api.public("claims"))
    assert "feedback_alignment" not in set(fa_api.public("rules")), "an object, which has no documentation of its own"
