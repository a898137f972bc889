"""Files that are there wholly or not at all, where the reader's own data are looked for, copies of them in another form."""

import glob
import hashlib
import json
import os
import secrets
import time
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np

OURS = 8  # random bytes in the name of a file that is being written: editors, too, write beside a file, to other names


def write(path: Path, put: bytes | Callable[[BinaryIO], object]) -> None:
    """Write these bytes, or what `put` writes, so that there is either the old file or the new one, whole, whatever happens
    meanwhile and whoever else writes it. Raises what `put` raises, and OSError; a half-written file is left by a kill alone,
    and goes with a later write."""
    sweep(path, seconds=3600)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(OURS)}")
    try:
        with open(partial, "xb") as file:
            file.write(put) if isinstance(put, bytes) else put(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def sweep(path: Path, seconds: float = 0) -> None:
    """Remove what killed writers of a file left half-written, so long ago."""
    for left in path.parent.glob(f".{glob.escape(path.name)}." + 2 * OURS * "[0-9a-f]"):
        with suppress(OSError):  # another sweeps it
            if time.time() - left.stat().st_mtime >= seconds:
                left.unlink()


def named(environment: str) -> Path | None:
    """The folder that an environment variable names, `~` in it the home folder; None where it is not set, or empty. Raises
    ValueError where it is a file."""
    value = os.environ.get(environment)
    path = Path(os.path.expanduser(value)) if value else None
    if path and path.is_file():
        raise ValueError(f"{environment} is {path}, a file: set it to the folder that holds what is wanted")
    return path


def data_folder(environment: str, name: str) -> Path:
    """The folder that the environment variable names, else `fa_core/<name>` in `$XDG_CACHE_HOME` (`~/.cache`)."""
    return named(environment) or (named("XDG_CACHE_HOME") or Path.home() / ".cache") / "fa_core" / name


def arrays(path: Path) -> dict[str, np.ndarray]:
    """All of an .npz, without pickles. Raises ValueError that says what is wrong with the file, FileNotFoundError."""
    if path.is_dir():
        raise ValueError("it is a folder, wanted is a file")
    with open(path, "rb") as file:  # np.load leaves a damaged one open
        head = file.read(30)
        if not head.startswith(b"PK"):
            what = (
                "empty"
                if not head
                else "a pointer of Git LFS: `git lfs pull` fetches the file itself"
                if (head.startswith(b"version https://git-lfs"))
                else f"no .npz, which begins with b'PK' and not {head[:12]!r}"
            )
            raise ValueError(f"it is {what}")
        file.seek(0)
        try:
            with np.load(file, allow_pickle=False) as stored:
                return {name: stored[name] for name in stored.files}
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise ValueError(f"it is cut or overwritten: {error}") from error
        except ValueError as error:
            if "pickle" not in str(error):
                raise
            # NumPy says how to load it all the same, at a risk.
            raise ValueError("it holds Python objects, wanted are arrays of numbers and text alone") from error


# ---- copies of data in another form, made once


def digest(path: Path) -> str:
    """The MD5 of a file, which is enough against damage. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def stated(path: Path) -> dict:
    """What of a file can be seen without reading it. Its time can be set by anybody, as copying does; where the system keeps
    one of every change beside it ("changed", not on Windows), that cannot."""
    stat = path.stat()
    return {"size": stat.st_size, "time": stat.st_mtime_ns, "changed": stat.st_ctime_ns}


def unchanged(path: Path, fact: dict) -> bool:
    """Whether a file is as it was `stated`, or, where it has another time, still has the "md5" of the fact: one that was
    only moved or copied, whose times then go into the fact. Raises OSError, KeyError."""
    now = stated(path)
    if now.items() <= fact.items():
        return True
    same = now["size"] == fact["size"] and digest(path) == fact["md5"]
    fact |= now if same else {}
    return same


def note(made: Path, sources: list[dict], **facts: object) -> None:
    """Write beside a copy, as .json, what it is and of what it was made: for each source what was `stated`, and its "md5".
    Raises OSError."""
    content = json.dumps(facts | {"made": stated(made) | {"md5": digest(made)}, "sources": sources}).encode()
    write(made.with_suffix(".json"), lambda file: file.write(content))


def noted(made: Path, sources: list[Path]) -> dict | None:
    """The note beside a copy, if both it and its sources are as they were when it was made; else None."""
    try:
        text = made.with_suffix(".json").read_text()
        facts = json.loads(text)
        pairs = [(made, facts["made"]), *zip(sources, facts["sources"], strict=True)]
        if not all(unchanged(path, fact) for path, fact in pairs):
            return None
    except (OSError, ValueError, KeyError, TypeError):  # no such file, or a damaged one
        return None
    if (renewed := json.dumps(facts)) != text:  # so that they need not be read through the next time
        with suppress(OSError):
            write(made.with_suffix(".json"), renewed.encode())
    return facts
