"""Street View House Numbers, cropped digits, in grey levels (Supplementary Note 6).

Netzer, Wang, Coates, Bissacco, Wu & Ng (2011) published 32 x 32 colour images in three MATLAB files:

    train_32x32.mat    73,257 images
    extra_32x32.mat   531,131 images, somewhat easier; with the former the paper's 604,388 training images
    test_32x32.mat     26,032 images

They are too large to be shipped: 1.6 GB. They are looked for in the folder named by `FA_CORE_SVHN`, else in
`$XDG_CACHE_HOME/fa_core/svhn` (`~/.cache/...`), and are fetched there by

    python -m fa_core.data.svhn download

which may be interrupted at any time and goes on where it was. Each file is checked against its published digest.

At the first use they are converted, beside where they are, to bytes: one grey level for each pixel, the mean of its three
channels, rounded. That copy is read as a memory map. Converting holds one file at a time in memory as bytes (of extra,
1.6 GB), and floats never.
"""

import contextlib
import errno
import http.client
import os
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from tqdm import tqdm

from fa_core import files
from fa_core.data.mnist import DataError, Digits

ENVIRONMENT = "FA_CORE_SVHN"
SITE = "http://ufldl.stanford.edu/housenumbers/"
COMMAND = "python -m fa_core.data.svhn download"

# MD5, as published with torchvision's loader: enough against damage, which is what it is for.
DIGESTS = {
    "train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373",
    "extra_32x32.mat": "a93ce644f1a588dc4d68dda5feec44a7",
    "test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3",
}
COUNTS = {"train_32x32.mat": 73_257, "extra_32x32.mat": 531_131, "test_32x32.mat": 26_032}
SPLITS = {
    "train": ("train_32x32.mat", "extra_32x32.mat"),
    "train only": ("train_32x32.mat",),
    "test": ("test_32x32.mat",),
}

SIDE = 32
PIECE = 10_000  # images that are converted at a time
FORMAT = 2  # of the converted files: another number, and they are made anew


def folder() -> Path:
    """Where the files are looked for, and put."""
    return files.data_folder(ENVIRONMENT, "svhn")


def present() -> tuple[str, ...]:
    """The names of the published files that are there."""
    return tuple(name for name in DIGESTS if (folder() / name).is_file())


def load(split: str = "train", verify: bool = True) -> Digits:
    """The `train` (604,388, of two files), `train only` (73,257, of the first of them) or `test` (26,032) set, read-only:
    images `(n, 1024)` uint8, memory-mapped, upright, row by row; labels `(n,)` uint8, 0 to 9.

    verify: whether the files must be the published ones. Raises ValueError, DataError.
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}; there are: {', '.join(SPLITS)}")
    where, names = folder(), SPLITS[split]
    missing = [name for name in names if not (where / name).is_file()]
    if missing:
        alone = "; for train_32x32.mat alone ask for 'train only'" if missing == ["extra_32x32.mat"] else ""
        raise DataError(
            f"no {' and no '.join(missing)} in {where}: fetch with `{COMMAND}`, or set {ENVIRONMENT} to a "
            f"folder that holds the files of {SITE}{alone}"
        )
    kept = where / ("+".join(name.removesuffix(".mat") for name in names) + ".grey.npy")
    rows = converted(kept, [where / name for name in names], verify)
    if rows is None:
        convert([where / name for name in names], kept, verify)
        rows = converted(kept, [where / name for name in names], verify)
        if rows is None:
            raise DataError(f"{kept} changed while it was made: is another program at work in {where}? Try again")
    labels = np.array(rows[:, -1])
    labels.flags.writeable = False
    return Digits(rows[:, :-1], labels)


# ---- the published format


def grey(pixels: np.ndarray) -> np.ndarray:
    """Images as the files have them, `(32, 32, 3, n)` uint8 (row, column, channel, image), as grey levels `(n, 1024)`
    uint8: the mean of the three channels, rounded to the nearest (it cannot lie half-way)."""
    total = pixels.sum(axis=2, dtype=np.uint16)
    return ((total + 1) // 3).astype(np.uint8).transpose(2, 0, 1).reshape(pixels.shape[3], -1)


def count(path: Path) -> int:
    """The number of images that the header of a file promises. Raises DataError where it is none of this format."""
    import scipy.io

    try:
        found = {name: (shape, kind) for name, shape, kind in scipy.io.whosmat(path)}
    except Exception as error:  # a damaged file makes the reader fail in many ways
        raise unreadable(path, error) from error
    (shape, kind), labels = found.get("X", ((), "")), found.get("y", ((), ""))[0]
    if len(shape) != 4 or shape[:3] != (SIDE, SIDE, 3) or kind != "uint8":
        raise DataError(
            f"{path}: X is {f'{shape} {kind}' if shape else 'missing'}, wanted (32, 32, 3, n) uint8: "
            f"truncated, or not a file of cropped digits; fetch it with `{COMMAND}`"
        )
    if labels != (shape[3], 1):
        raise DataError(
            f"{path}: y is {labels or 'missing'}, wanted {(shape[3], 1)}, a label for each image: "
            f"truncated, or not a file of cropped digits; fetch it with `{COMMAND}`"
        )
    return shape[3]


def pieces(path: Path) -> Iterator[np.ndarray]:
    """The images of a file and their labels as rows `(some, 1025)` uint8: grey levels, then 0 to 9 (the file has 10 for the
    digit 0). Raises DataError."""
    import scipy.io

    try:
        content = scipy.io.loadmat(path, variable_names=("X", "y"))
        pixels, labels = content["X"], content["y"].ravel()
    except Exception as error:  # see count
        raise unreadable(path, error) from error
    if not np.isin(labels, np.arange(1, 11)).all():
        raise DataError(f"{path}: labels from {labels.min()} to {labels.max()}, wanted 1 to 10; fetch it with `{COMMAND}`")
    labels = (labels % 10).astype(np.uint8)
    for start in range(0, len(labels), PIECE):
        part = slice(start, start + PIECE)
        yield np.column_stack([grey(pixels[..., part]), labels[part]])


def unreadable(path: Path, error: Exception) -> DataError:
    """What to say of a file that cannot be read."""
    what = f"{path} cannot be read ({type(error).__name__}: {error})"
    if isinstance(error, MemoryError):
        return DataError(f"{what}: it has to fit into memory, as bytes, once")
    return DataError(f"{what}: it is damaged or truncated; take it away and fetch it with `{COMMAND}`")


# ---- the converted copy


def convert(sources: list[Path], kept: Path, verify: bool = True) -> None:
    """Write the images and labels of some files as `kept`, rows of 1025 bytes, and beside it, as .json, what it was made
    of. Each is there wholly or not at all. Raises DataError."""
    facts = [files.stated(path) | {"md5": digest(path)} for path in sources]
    if verify:
        for path, fact in zip(sources, facts, strict=True):
            check(path, fact["md5"])
    shape = (sum(count(path) for path in sources), SIDE * SIDE + 1)

    def rows(file: BinaryIO) -> None:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for path in sources:
            for piece in pieces(path):
                file.write(piece.data)

    try:
        kept.with_suffix(".json").unlink(missing_ok=True)  # so that it never stands beside an array that it is not of
        files.write(kept, rows)
        files.note(kept, facts, format=FORMAT, shape=shape)
    except OSError as error:
        need = shape[0] * shape[1] / 1e6
        raise DataError(
            f"{kept} cannot be written ({error.strerror}): {need:,.0f} MB are wanted in a folder that can be "
            f"written to; make room, or link the files into one and set {ENVIRONMENT} to it"
        ) from error


def converted(kept: Path, sources: list[Path], verify: bool = True) -> np.ndarray | None:
    """The memory map of what `convert` made of just these files as they are now; None where there is none.

    Raises DataError, with `verify`, where it was made of others than the published files.
    """
    facts = files.noted(kept, sources)
    if not facts or facts.get("format") != FORMAT:
        return None
    try:
        rows = np.load(kept, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    if rows.dtype != np.uint8 or rows.shape != tuple(facts["shape"]):
        return None
    digests = [fact["md5"] for fact in facts["sources"]]
    if verify:
        for path, md5 in zip(sources, digests, strict=True):
            check(path, md5)
    return rows


def digest(path: Path) -> str:
    """The MD5 of a file. Raises DataError."""
    try:
        return files.digest(path)
    except OSError as error:
        raise unreadable(path, error) from error


def check(path: Path, md5: str) -> None:
    """Raises DataError where this is not the digest of the published file of that name."""
    if md5 != DIGESTS[path.name]:
        raise DataError(
            f"{path}: its MD5 is {md5}, wanted {DIGESTS[path.name]}: damaged, truncated, or not the published "
            f"file. Take it away and fetch it with `{COMMAND}`"
        )


# ---- the download


def download(names: Iterable[str] = tuple(DIGESTS), site: str = SITE, attempts: int = 5, pause: float = 5.0) -> None:
    """Fetch files into `folder()`, each first as .part, which a later call goes on with; its digest is verified before it
    takes its name. A file that is there already is verified and left.

    attempts: how often in a row a connection may break without a byte in between; pause: seconds between two.
    Raises ValueError, DataError.
    """
    for name in names:
        if name not in DIGESTS:
            raise ValueError(f"unknown file {name!r}; there are: {', '.join(DIGESTS)}")
    where = folder()
    try:
        where.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{where} cannot be made ({error.strerror}): set {ENVIRONMENT} to another folder") from error
    for name in names:
        path = where / name
        if path.exists():
            check(path, digest(path))
            print(f"{path}: there already, and whole")
            continue
        part = path.with_name(f"{name}.part")
        fetch(site + name, part, attempts, pause)
        found = digest(part)
        if found != DIGESTS[name]:
            part.unlink()
            raise DataError(
                f"{site}{name}: the MD5 of what came is {found}, wanted {DIGESTS[name]}; it was thrown away. "
                "Try again; if this is all that ever comes, the site has another file, or something on the way "
                "answers in its place"
            )
        os.replace(part, path)
        print(f"{path}: fetched, and whole")


def fetch(url: str, part: Path, attempts: int = 5, pause: float = 5.0) -> None:
    """All of what is at an address, appended to what `part` has of it. Raises DataError; what came is kept."""
    failed = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            if stretch(url, part):
                return
            why = "the connection broke"
        except urllib.error.HTTPError as error:
            error.close()
            if error.code < 500:
                raise DataError(
                    f"{url}: the site answers {error.code} {error.reason}; see {SITE} for where the file is "
                    f"now, and put it into {part.parent}"
                ) from error
            why = f"the site answers {error.code} {error.reason}"
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise DataError(
                    f"{part}: the disk is full ({error.strerror}); make room, or move the file to another "
                    f"folder and set {ENVIRONMENT} to it, and run `{COMMAND}` again: it goes on from "
                    "there"
                ) from error
            if isinstance(error, PermissionError | IsADirectoryError):
                raise DataError(
                    f"{part} cannot be written ({error.strerror}): set {ENVIRONMENT} to another folder"
                ) from error
            why = str(getattr(error, "reason", error))
        except http.client.HTTPException as error:
            why = f"the connection broke ({type(error).__name__})"
        size = part.stat().st_size if part.exists() else 0
        failed = 1 if size > before else failed + 1
        if failed >= attempts:
            raise DataError(
                f"{url}: {why}, {failed} times in a row, with {size:,} bytes here. With a network, run "
                f"`{COMMAND}` again: it goes on from there. Without, put the file into {part.parent} by other "
                "means"
            )
        time.sleep(pause)


def stretch(url: str, part: Path) -> bool:
    """One request, for what `part` still lacks. Returns whether it is then all there. Raises OSError, HTTPException."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # nothing begins there: all came already, or more than all
            raise
        error.close()
        total = error.headers.get("Content-Range", "").rpartition("/")[2]
        if total == str(have):
            return True
        part.unlink()
        return False
    with response:
        begins, _, all_of_it = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        resumed = response.status == 206 and begins.startswith(f"{have}-")
        if not resumed:  # a site that sends all of it whatever was asked for
            have = 0
        length = response.headers.get("Content-Length")
        total = int(all_of_it) if resumed and all_of_it.isdigit() else have + int(length) if length else None
        if total and total - have > (free := shutil.disk_usage(part.parent).free):
            raise OSError(errno.ENOSPC, f"{(total - have) / 1e6:,.0f} MB to come, {free / 1e6:,.0f} MB free")
        with (
            part.open("ab" if resumed else "wb") as file,
            tqdm(total=total, initial=have, unit="B", unit_scale=True, desc=part.stem, disable=None) as bar,
        ):
            while block := response.read(1 << 16):
                file.write(block)
                bar.update(len(block))
                have += len(block)
    return total is None or have == total


def main(arguments: list[str]) -> int:
    """The command line: `download [FILE...]`, or without arguments what is there. Returns the exit status."""
    if arguments and arguments[0] != "download":
        print(f"usage: {COMMAND} [{'|'.join(DIGESTS)}]...", file=sys.stderr)
        return 2
    try:
        if arguments:
            download(tuple(arguments[1:]) or tuple(DIGESTS))
        else:
            print(f"{folder()}: {', '.join(present()) or f'none of {len(DIGESTS)} files; fetch them with `{COMMAND}`'}")
    except (DataError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main(sys.argv[1:]))
    sys.exit(130)
