"""Files that are there wholly or not at all, and where the reader's own data are looked for."""

import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def write(path: Path, put: Callable[[BinaryIO], object]) -> None:
    """Write what `put` writes, so that there is either the old file or the new one, whole, whatever happens meanwhile and
    whoever else writes it. Raises what `put` raises, and OSError; no half-written file is left, save by a kill."""
    partial = path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}")  # folders are shared between machines
    try:
        with open(partial, "wb") as file:
            put(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def data_folder(environment: str, name: str) -> Path:
    """The folder that the environment variable names, else `fa_core/<name>` in `$XDG_CACHE_HOME` (`~/.cache`)."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get(environment) or Path(cache) / "fa_core" / name)
