"""What stands outside the code agrees with it: pins, licence and citation, the interface, CI, the files themselves."""

import ast
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import jsonschema
import pytest
import yaml

import fa_core
from fa_core.data import mnist

ROOT = Path(__file__).parent.parent
MEGABYTE = 10**6
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PROSE = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]

# What the Citation File Format 1.2.0 demands, for the fields that ours has.
TEXT = {"type": "string", "minLength": 1}
DATE = {"type": "string", "pattern": r"^\d{4}-(0[1-9]|1[012])-(0[1-9]|[12]\d|3[01])$"}
DOI = {"type": "string", "pattern": r"^10\.\d{4,9}(\.\d+)?/[A-Za-z0-9:/_;\-.()\[\]\\]+$"}
YEAR = {"type": "string", "pattern": r"^\d{4}$"}
LICENCE = {"enum": ["MIT", "CC-BY-4.0"]}  # of SPDX's identifiers, those that ours may name


def record(required: str, **fields) -> dict:
    """The schema of an object with these fields and no others; `_` in a name stands for `-`."""
    return {
        "type": "object",
        "required": required.split(),
        "additionalProperties": False,
        "properties": {name.replace("_", "-"): schema for name, schema in fields.items()},
    }


def some(items: dict) -> dict:
    """The schema of a list of one or more different items."""
    return {"type": "array", "minItems": 1, "uniqueItems": True, "items": items}


ENTITY = record("name", name=TEXT, website=TEXT)
PERSON = record("family-names given-names", family_names=TEXT, given_names=TEXT, orcid=TEXT)
AUTHORS = some({"anyOf": [ENTITY, PERSON]})
WORK = {"title": TEXT, "authors": AUTHORS, "doi": DOI, "license": {"anyOf": [LICENCE, some(LICENCE)]}}
REFERENCE = record(
    "type title authors",
    **WORK,
    type=TEXT,
    journal=TEXT,
    volume=TEXT,
    start=TEXT,
    year=YEAR,
    date_published=DATE,
)
CITATION = record(
    "cff-version message title authors",
    **WORK,
    cff_version={"const": "1.2.0"},
    message=TEXT,
    abstract=TEXT,
    version=TEXT,
    type={"enum": ["software", "dataset"]},
    date_released=DATE,
    repository_code=TEXT,
    keywords=some(TEXT),
    references=some(REFERENCE),
)


def canonical(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub("[-_.]+", "-", name).lower()


def pins(lines) -> dict[str, str]:
    """Versions by name from lines `name==version`; "" where a line has a name alone."""
    parts = [line.split("#")[0].strip().partition("==") for line in lines]
    found = [(canonical(name), version) for name, _, version in parts if name]
    assert len(found) == len(dict(found)), "a package is listed twice"
    return dict(found)


def wanted() -> dict[str, str]:
    return pins((ROOT / "requirements.in").read_text().splitlines())


def lock() -> dict[str, str]:
    return pins((ROOT / "requirements.lock").read_text().splitlines())


def targets() -> set[str]:
    """The targets of the Makefile that a person may call."""
    return set(re.findall(r"^([a-z]+):(?!=)", (ROOT / "Makefile").read_text(), re.M))


def called(commands: str) -> set[str]:
    """The targets that commands name after `make`."""
    words = " ".join(re.findall(r"(?:^|[;&|`])[ \t]*make((?:[ \t]+[\w=./-]+)+)", commands, re.M)).split()
    return {w for w in words if re.fullmatch("[a-z]+", w)}


def code_of(markdown: str) -> str:
    """The code in a Markdown text, in line and in blocks."""
    return "\n".join(re.findall(r"```.*?```|`[^`]+`", markdown, re.S))


def plain(file: Path):
    """A YAML file with every scalar as text: dates stay as they are written, and `on` is not taken for true."""
    return yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)


def tracked() -> list[Path]:
    """The files that git keeps. Skips the test where this is no checkout."""
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip(f"not a git checkout: {listed.stderr.strip()}")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def texts() -> dict[Path, bytes]:
    """The tracked files that are text."""
    contents = {file: file.read_bytes() for file in tracked()}
    return {file: content for file, content in contents.items() if b"\0" not in content}


# ---- pins
def test_every_package_is_locked_to_one_version():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.!]+", line)] == []


def test_the_table_of_rooms_names_every_module_and_what_it_uses():
    rows = re.findall(r"^\| (`fa_core/.*?) \| .*? \| (.*?) \|$", (ROOT / "CONTRIBUTING.md").read_text(), re.M)
    rooms: dict[str, set[str]] = {}
    for named, uses in rows:
        together = re.findall(r"`(?:fa_core/)?(\w+)[./]", named)
        rooms |= {name: {*re.findall(r"`(\w+)`", uses), *together} for name in together}
    for file in (ROOT / "fa_core").glob("**/*.py"):
        room = file.relative_to(ROOT / "fa_core").parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        used = set()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "fa_core":
                used |= {a.name for a in node.names} if node.module == "fa_core" else {node.module.split(".")[1]}
        known = {n for n in used if (ROOT / "fa_core" / n).is_dir() or (ROOT / "fa_core" / f"{n}.py").exists()} - {room}
        assert room in rooms, f"CONTRIBUTING.md has no row for {room}"
        assert room == "__main__" or known <= rooms[room], f"{room} uses {known - rooms[room]}, which its row does not name"


def test_binder_gets_the_versions_of_the_lock_and_no_torch():
    given = pins((ROOT / ".binder" / "requirements.txt").read_text().splitlines())
    assert given.items() <= lock().items()
    assert "torch" not in given
    assert os.access(ROOT / ".binder" / "postBuild", os.X_OK)


def test_what_is_imported_is_asked_for_by_name():
    """Directly, at a version: else `make lock` would choose it by chance."""
    files = [f for f in tracked() if f.suffix == ".py"]
    nodes = [n for f in files for n in ast.walk(ast.parse(f.read_text(encoding="utf-8")))]
    imported = {a.name for n in nodes if isinstance(n, ast.Import) for a in n.names}
    imported |= {n.module for n in nodes if isinstance(n, ast.ImportFrom) and not n.level and n.module}
    ours = {"fa_core", "tests", "benchmarks", *(f.stem for f in files), "jax", "biotorch"}  # the last two by `make bench`
    names = {name.split(".")[0] for name in imported} - ours - set(sys.stdlib_module_names)
    from_packages = metadata.packages_distributions()
    asked = {canonical(name) for name in wanted()}
    missing = {n: from_packages.get(n) for n in names if not asked & {canonical(d) for d in from_packages.get(n, [])}}
    assert not missing, missing


@pytest.mark.parametrize("page", ["README.md", "book/api.md"])
def test_the_programs_on_a_page_run_and_print_what_stands_below_them(page, capsys):
    programs = re.findall(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", (ROOT / page).read_text(), re.S)
    assert programs
    for program, printed in programs:
        exec(program, {})
        assert capsys.readouterr().out == printed


def test_torch_is_locked_without_a_local_version():
    assert lock()["torch"] == "2.13.0"


def test_the_conda_environment_holds_the_pins_of_the_lock():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *packages, by_pip = environment["dependencies"]
    assert packages == ["python=3.11", "pip"]
    assert pins(by_pip["pip"]) == lock()


def test_the_lock_has_what_the_project_asks_for():
    locked = lock()
    assert wanted().keys() <= locked.keys()
    assert {name: (version, locked[name]) for name, version in wanted().items() if version not in ("", locked[name])} == {}


def test_what_is_installed_is_what_is_locked():
    installed = {name: metadata.version(name).split("+")[0] for name in wanted()}  # torch may say 2.13.0+cpu
    assert installed == {name: lock()[name] for name in wanted()}


# ---- licence and citation
def test_the_citation_is_in_the_citation_file_format():
    jsonschema.validate(plain(ROOT / "CITATION.cff"), CITATION)


@pytest.mark.parametrize(
    "change",
    [
        {"authors": []},
        {"authors": [{"given-names": "A"}]},
        {"message": ""},
        {"date-released": "24 November 2026"},
        {"license": ["MIT", "MIT"]},
        {"licence": "MIT"},
        {"references": [{"type": "article", "title": "no authors"}]},
    ],
    ids=str,
)
def test_a_malformed_citation_is_refused(change):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(plain(ROOT / "CITATION.cff") | change, CITATION)


def test_citation_and_changelog_are_of_this_version():
    citation = plain(ROOT / "CITATION.cff")
    assert citation["version"] == fa_core.__version__
    assert f"\n## {fa_core.__version__} - {citation['date-released']}\n" in (ROOT / "CHANGELOG.md").read_text()


def test_the_citation_names_the_paper_and_its_four_authors():
    paper = plain(ROOT / "CITATION.cff")["references"][0]
    assert paper["doi"] == "10.1038/ncomms13276"
    assert [a["family-names"] for a in paper["authors"]] == ["Lillicrap", "Cownden", "Tweed", "Akerman"]


def test_the_digests_beside_the_data_are_those_that_are_checked():
    text = (ROOT / "fa_core" / "data" / "mnist" / "README.md").read_text()
    assert {name: digest for digest, name in re.findall(r"([0-9a-f]{64})  (\S+)", text)} == mnist.DIGESTS


# ---- the interface
def test_the_readme_names_every_target_that_make_explains():
    explained = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    listed = set(re.findall(r"^  make ([a-z]+)", explained, re.M))
    assert {"book", "test"} <= listed <= targets()
    assert listed - called(code_of((ROOT / "README.md").read_text())) == set()


@pytest.mark.parametrize("file", PROSE, ids=lambda f: f.name)
def test_every_target_that_is_named_exists(file):
    assert called(code_of(file.read_text())) - targets() == set()


@pytest.mark.parametrize("file", PROSE, ids=lambda f: f.name)
def test_every_link_to_a_file_leads_to_one(file):
    links = re.findall(r"\]\((?![a-z]+:|#)([^)#\s]+)", file.read_text())
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_book_lies_where_jupyter_book_looks():
    layout = ("book/", "notebooks/", "fa_core/", "_config.yml", "_toc.yml", "environment.yml")
    assert [name for name in layout if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("fails", ["run", "build", ""])
def test_the_book_is_made_only_if_every_notebook_ran_and_the_build_passed(tmp_path, fails):
    # A program that writes down what it is asked for, and fails at one of the two, stands in for Python.
    program, asked = tmp_path / "python", tmp_path / "asked"
    program.write_text(f'#!/bin/sh\necho "$3" >> {asked}\n[ "$3" != "{fails}" ]\n')
    program.chmod(0o755)
    made = subprocess.run(["make", "book", f"PY={program}", "READY="], cwd=ROOT, capture_output=True, text=True, check=False)
    assert asked.read_text().split() == (["run"] if fails == "run" else ["run", "build"])
    assert (made.returncode == 0) == (not fails)
    assert ("The book is at" in made.stdout) == (not fails)


@pytest.mark.parametrize("script", [ROOT / ".ci" / "run", *sorted((ROOT / "findings").glob("*.sh"))], ids=lambda f: f.name)
def test_a_script_can_be_run_as_it_is(script):
    assert script.read_text().startswith("#!")
    assert os.access(script, os.X_OK), f"chmod +x {script.relative_to(ROOT)}"


# ---- continuous integration


def test_ci_is_well_formed():
    script = ROOT / ".ci" / "run"
    subprocess.run(["bash", "-n", str(script)], check=True)
    assert called(script.read_text()) == {"lint", "test"}


def test_ci_ends_by_saying_what_failed(tmp_path):
    # Programs that do nothing stand in; nobody is root here, so nothing is installed whatever the machine lacks.
    for name, does in {"chromium": "", "git": "", "make": "exit 3", "id": "echo 1000"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "PYTHON": sys.executable}
    ended = subprocess.run(["bash", str(ROOT / ".ci" / "run")], env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 3
    assert ended.stderr.splitlines()[-1] == ".ci/run: FAILED with status 3: make lint test"


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda f: f.name)
def test_a_workflow_is_bounded_and_calls_what_exists(file):
    workflow = plain(file)
    assert workflow["on"]
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        assert 0 < int(job["timeout-minutes"]) <= 180, name
        for step in job["steps"]:
            assert re.fullmatch(r"[\w./-]+@v\d+", step.get("uses", "none/needed@v1")), step
            assert called(step.get("run", "")) <= targets(), step


def test_there_are_workflows_for_tests_the_book_and_every_week():
    assert {file.stem for file in WORKFLOWS} == {"book", "test", "weekly"}


# ---- the files
def test_no_file_has_conflict_markers():
    assert [str(f) for f, content in texts().items() if re.search(rb"^(<{7}|>{7}) ", content, re.M)] == []


def test_lines_end_as_on_unix():
    assert [str(f) for f, content in texts().items() if b"\r\n" in content] == []


def test_no_file_is_too_large_for_a_clone():
    assert {str(f): f.stat().st_size for f in tracked() if f.stat().st_size > 12 * MEGABYTE} == {}
