"""What archives read of the project is in their formats, and the same as CITATION.cff and `_config.yml` say."""

import json
import shutil
import sys
from pathlib import Path

import jsonschema
import pytest

from tests.test_project import CITATION, DATE, DOI, ROOT, TEXT, plain, record, some

sys.path.insert(0, str(ROOT / "book" / "_ext"))
import fa_meta

ADDRESS = "https://github.com/someone/a-book"
URL = {"type": "string", "pattern": r"^https://[\w.-]+/\S+$"}
NAMED = {
    "type": "object",
    "required": ["@type", "name"],
    "additionalProperties": False,
    "properties": {"@type": {"enum": ["Organization", "Person"]}, "name": TEXT},
}
CODEMETA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["@context", "@type", "name", "description", "version", "author", "license"],
    "properties": {
        "@context": {"const": "https://w3id.org/codemeta/3.0"},
        "@type": {"const": "SoftwareSourceCode"},
        "name": TEXT,
        "description": TEXT,
        "version": TEXT,
        "datePublished": DATE,
        "author": some(NAMED),
        "license": some({"enum": ["https://spdx.org/licenses/MIT", "https://spdx.org/licenses/CC-BY-4.0"]}),
        "keywords": some(TEXT),
        "programmingLanguage": TEXT,
        "runtimePlatform": TEXT,
        "codeRepository": URL,
        "referencePublication": {
            "type": "object",
            "required": ["@type", "@id", "name"],
            "additionalProperties": False,
            "properties": {"@type": {"const": "ScholarlyArticle"}, "@id": URL, "name": TEXT},
        },
    },
}
RELATED = {
    "oneOf": [
        record("identifier relation scheme", identifier=DOI, relation={"const": "references"}, scheme={"const": "doi"}),
        record("identifier relation scheme", identifier=URL, relation={"const": "isSupplementTo"}, scheme={"const": "url"}),
    ]
}
# The fields of Zenodo's deposits, with a low line in their names.
ZENODO = {
    "type": "object",
    "additionalProperties": False,
    "required": ["title", "description", "upload_type", "creators", "access_right", "license"],
    "properties": {
        "title": TEXT,
        "description": TEXT,
        "upload_type": {"const": "software"},
        "access_right": {"const": "open"},
        "version": TEXT,
        "publication_date": DATE,
        "creators": some(record("name", name=TEXT)),
        "license": {"const": "mit"},
        "keywords": some(TEXT),
        "language": {"const": "eng"},
        "related_identifiers": some(RELATED),
    },
}


@pytest.fixture
def with_repository(tmp_path) -> Path:
    """The files of a project that has a repository."""
    for name in ("CITATION.cff", "_config.yml"):
        shutil.copy(ROOT / name, tmp_path)
    config = (tmp_path / "_config.yml").read_text()
    assert config.count('\n    repository: ""') == 1
    (tmp_path / "_config.yml").write_text(config.replace('\n    repository: ""', f'\n    repository: "{ADDRESS}"'))
    return tmp_path


@pytest.mark.parametrize("name", ["codemeta.json", ".zenodo.json", "CITATION.cff"])
def test_the_files_are_what_is_made_of_citation_and_config(name):
    assert (ROOT / name).read_text() == fa_meta.files()[name], "python book/_ext/fa_meta.py makes it again"


@pytest.mark.parametrize(("name", "schema"), [("codemeta.json", CODEMETA), (".zenodo.json", ZENODO)])
def test_they_are_in_their_formats_with_a_repository_and_without(name, schema, with_repository):
    for root in (ROOT, with_repository):
        data = json.loads(fa_meta.files(root)[name])
        jsonschema.validate(data, schema)
        assert (ADDRESS in json.dumps(data)) == (root == with_repository)
        assert "10.1038/ncomms13276" in json.dumps(data)
    for key in schema["required"]:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({k: v for k, v in data.items() if k != key}, schema)


def test_the_citation_names_the_repository_once_there_is_one(with_repository):
    file = with_repository / "CITATION.cff"
    for _ in range(2):  # the second time it is there already
        file.write_text(fa_meta.files(with_repository)["CITATION.cff"])
        data = plain(file)
        assert data["repository-code"] == ADDRESS
        jsonschema.validate(data, CITATION)
    assert fa_meta.with_repository(file.read_text(), "") == fa_meta.with_repository((ROOT / "CITATION.cff").read_text(), "")
