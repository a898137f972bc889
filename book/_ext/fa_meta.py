"""What archives and indexes of software read: `codemeta.json` and `.zenodo.json`, made from CITATION.cff, and the repository
that `_config.yml` names, once it names one.

`python book/_ext/fa_meta.py` writes them, and the repository into CITATION.cff.
"""

import json
import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def repository(root: Path = ROOT) -> str:
    """The address of the repository, from `_config.yml`; "" where that names none."""
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    return config["sphinx"]["config"]["repository"]


def citation(root: Path = ROOT) -> dict:
    """CITATION.cff, dates as text."""
    return yaml.load((root / "CITATION.cff").read_text(encoding="utf-8"), Loader=yaml.BaseLoader)


def codemeta(cited: dict, address: str) -> dict:
    """The description of CodeMeta 3.0."""
    paper = cited["references"][0]
    article = {"@type": "ScholarlyArticle", "@id": f"https://doi.org/{paper['doi']}", "name": paper["title"]}
    return {
        "@context": "https://w3id.org/codemeta/3.0",
        "@type": "SoftwareSourceCode",
        "name": cited["title"],
        "description": cited["abstract"],
        "version": cited["version"],
        "datePublished": cited["date-released"],
        "author": [{"@type": "Organization", "name": a["name"]} for a in cited["authors"]],
        "license": [f"https://spdx.org/licenses/{name}" for name in cited["license"]],
        "keywords": cited["keywords"],
        "programmingLanguage": "Python",
        "runtimePlatform": "Python 3.11",
        "referencePublication": article,
    } | ({"codeRepository": address} if address else {})


def zenodo(cited: dict, address: str) -> dict:
    """The description that Zenodo reads when it archives a release."""
    related = [{"identifier": cited["references"][0]["doi"], "relation": "references", "scheme": "doi"}]
    related += [{"identifier": address, "relation": "isSupplementTo", "scheme": "url"}] if address else []
    return {
        "title": cited["title"],
        "description": cited["abstract"],
        "upload_type": "software",
        "access_right": "open",
        "version": cited["version"],
        "publication_date": cited["date-released"],
        "creators": [{"name": a["name"]} for a in cited["authors"]],
        "license": cited["license"][0].lower(),
        "keywords": cited["keywords"],
        "language": "eng",
        "related_identifiers": related,
    }


def with_repository(text: str, address: str) -> str:
    """The text of CITATION.cff with the repository, or without where there is none."""
    text = re.sub(r"^repository-code: .*\n", "", text, flags=re.M)
    return re.sub(r"^license:", f'repository-code: "{address}"\nlicense:', text, count=1, flags=re.M) if address else text


def files(root: Path = ROOT) -> dict[str, str]:
    """What each of the files is to hold."""
    cited, address = citation(root), repository(root)
    made = {"codemeta.json": codemeta(cited, address), ".zenodo.json": zenodo(cited, address)}
    text = (root / "CITATION.cff").read_text(encoding="utf-8")
    return {name: json.dumps(data, indent=2, ensure_ascii=False) + "\n" for name, data in made.items()} | {
        "CITATION.cff": with_repository(text, address)
    }


if __name__ == "__main__":
    for name, text in files().items():
        (ROOT / name).write_text(text, encoding="utf-8")
