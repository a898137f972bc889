"""MNIST, shipped with the package as the four gzipped IDX files, checked against the digests of their contents.

LeCun, Cortes & Burges, 'The MNIST database of handwritten digits': 60,000 training and 10,000 test images of 28x28
grey levels. Set `FA_CORE_MNIST` to a folder to read the files from there, gzipped or not, also as torchvision or 7-Zip
leave them.
"""

import gzip
import hashlib
import struct
import zlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fa_core import files

ENVIRONMENT = "FA_CORE_MNIST"
SHIPPED = Path(__file__).parent / "mnist"

# SHA-256 of the uncompressed files: a file compressed by another gzip is still the same data.
DIGESTS = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


class DataError(RuntimeError):
    """A data file is missing, damaged or not what it should be; the message says which and what to do."""


class Digits(NamedTuple):
    """Images `(n, 784)` uint8 as they are in the file, 0 to 255, and labels `(n,)` uint8, 0 to 9."""

    images: np.ndarray
    labels: np.ndarray


def parse_idx(content: bytes, name: str) -> np.ndarray:
    """The array in an IDX file of unsigned bytes.

    Raises DataError for a wrong magic number or data type, and for truncated or trailing bytes.
    """
    if len(content) < 4:
        raise DataError(f"{name}: {len(content)} bytes, too short for an IDX header")
    zeros, dtype, ndim = struct.unpack(">HBB", content[:4])
    if zeros != 0 or ndim == 0:
        raise DataError(f"{name}: not an IDX file (it begins with {content[:4].hex()}, wanted 0000, type, dimensions)")
    if dtype != 0x08:
        raise DataError(f"{name}: IDX data type 0x{dtype:02x}, wanted 0x08 (unsigned bytes)")
    start = 4 + 4 * ndim
    if len(content) < start:
        raise DataError(f"{name}: truncated in its header ({len(content)} bytes, wanted at least {start})")
    shape = struct.unpack(f">{ndim}I", content[4:start])
    wanted = start + int(np.prod(shape, dtype=object))
    if len(content) != wanted:
        what = "truncated" if len(content) < wanted else "trailing bytes"
        raise DataError(f"{name}: {what} ({len(content)} bytes, its header {shape} wants {wanted})")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


PLACES = ("", "raw", "MNIST/raw", "mnist")  # below the folder; torchvision puts them into MNIST/raw


def candidates(folder: Path, name: str) -> list[Path]:
    """The files in a folder that may be one of the four: as published, unpacked, or as 7-Zip names what it unpacks."""
    names = [f"{form}{ending}" for form in (name, name.replace("-idx", ".idx")) for ending in (".gz", "")]
    return [path for place in PLACES for n in names if (path := folder / place / n).is_file()]


def read(folder: Path, name: str) -> np.ndarray:
    """One of the four files, decompressed, its digest verified, parsed. What it is, its content says and not its name.
    Raises DataError."""
    remedy = (
        f"Restore it, e.g. by git checkout, or reinstall fa_core, or set {ENVIRONMENT} to a folder that holds the "
        "four MNIST files"
        if folder == SHIPPED
        else f"Put the published file there, or take {ENVIRONMENT} away: the four files come with fa_core"
    )
    found = candidates(folder, name)
    if not found:
        raise DataError(f"no {name}.gz (or {name}) in {folder}. {remedy}")
    faults = []
    for path in found:
        try:
            return checked(path, name)
        except (OSError, EOFError, zlib.error) as error:
            faults.append(f"{path} cannot be read ({error})")
        except DataError as error:
            faults.append(str(error))
    raise DataError(f"{'; '.join(faults)}. {remedy}")


def checked(path: Path, name: str) -> np.ndarray:
    """The array in a file, gzipped or not, that is to be the one of this name. Raises DataError, OSError, EOFError,
    zlib.error."""
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    array = parse_idx(content, str(path))
    digest = hashlib.sha256(content).hexdigest()
    if digest != DIGESTS[name]:
        other = next((f" (it is {n})" for n, d in DIGESTS.items() if d == digest), "")
        raise DataError(
            f"{path}: SHA-256 of its content is {digest}, wanted {DIGESTS[name]}: not the standard MNIST file{other}"
        )
    return array


@cache
def _load(folder: Path, part: str) -> Digits:
    images = read(folder, f"{part}-images-idx3-ubyte")
    labels = read(folder, f"{part}-labels-idx1-ubyte")
    return Digits(images.reshape(len(images), -1), labels)


def load(split: str = "train") -> Digits:
    """The `train` (60,000) or `test` (10,000) set, read-only. Raises ValueError, DataError."""
    parts = {"train": "train", "test": "t10k"}
    if split not in parts:
        raise ValueError(f"unknown split {split!r}; there are: {', '.join(parts)}")
    return _load(files.named(ENVIRONMENT) or SHIPPED, parts[split])


def standardise(images: np.ndarray, reference: np.ndarray | None = None) -> np.ndarray:
    """Images as float32 with mean 0 and standard deviation 1 over all pixels and images of `reference`, which is
    the training set: one mean and one standard deviation, so that an image's contrast stays comparable.
    The only place where pixels are scaled."""
    reference = load("train").images if reference is None else reference
    # Exact integer moments of the 256 grey levels: the same two numbers on every machine.
    # In pieces, for a reference that may not fit in memory.
    pieces = (reference[i : i + 10_000].ravel() for i in range(0, len(reference), 10_000))
    count = np.sum([np.bincount(piece, minlength=256) for piece in pieces], axis=0)
    level = np.arange(256)
    mean = (count * level).sum() / count.sum()
    deviation = np.sqrt((count * (level - mean) ** 2).sum() / count.sum())
    return ((images - np.float32(mean)) / np.float32(deviation)).astype(np.float32)
