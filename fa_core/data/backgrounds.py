"""Handwritten digits over photographic backgrounds, mnist-back-image (Supplementary Note 5).

Larochelle, Erhan, Courville, Bergstra & Bengio (2007) published the set as two text files ("amat"), a row of 784 grey
levels from 0 to 1 and the label for each image. Where the reader has them, in the folder named by `FA_CORE_BACKGROUNDS`
or in `$XDG_CACHE_HOME/fa_core/backgrounds` (`~/.cache/...`), they are used::

    mnist_background_images_test.amat   50,000 images, which the paper *trains* on;
    mnist_background_images_train.amat  12,000 images, of which the first 10,000 are what the paper tests on. The last
                                        2,000 are the published validation set, and are left out.

Else a stand-in is composed here, of MNIST's digits and patches of the one photograph that Matplotlib ships. A stand-in
it is: the published set has patches of 20 photographs and another selection of MNIST's digits, and an error on the one
need not be the error on the other. `source()` says which of the two it is.

The stand-in follows the published description: to each digit a patch at random, without those of low variance, which
show no texture. That description gives no threshold and does not say how the two are put together; here it is 20 grey
levels of standard deviation, and the brighter of the two at each pixel, so that a digit on white is lost. The photograph
is cut into 20 tiles, and no patch crosses their borders: those of 16 tiles are for training, those of 4 for testing.
Patches are taken at full and at half size, in each of the eight orientations of the square. All is integer arithmetic on
a stated stream of random numbers, so that it is the same everywhere, save that decoders of JPEG may differ by a grey level.
"""

import contextlib
import hashlib
from collections.abc import Iterable
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np

from fa_core import files
from fa_core.data import mnist
from fa_core.data.mnist import DataError, Digits

ENVIRONMENT = "FA_CORE_BACKGROUNDS"
SITE = "http://www.iro.umontreal.ca/~lisa/icml2007data/mnist_background_images.zip"

FILES = {"train": "mnist_background_images_test.amat", "test": "mnist_background_images_train.amat"}  # sic: see above
ROWS = {"train": 50_000, "test": 12_000}
USED = {"train": 50_000, "test": 10_000}

SIDE = 28
PHOTOGRAPH = "grace_hopper.jpg"  # 512 x 600; official portrait, US Navy, in the public domain
DIGEST = "a8ca6d734765703b09728ab47fe59f473d93ae3967fc24c7c0288c3c7adb7130"
TILE = (120, 128)  # 5 rows and 4 columns of tiles
DEVIATION = 20  # grey levels: patches whose pixels have a lower standard deviation are left out
SEEDS = {"train": 1, "test": 2}


def load(split: str = "train") -> Digits:
    """The `train` (50,000) or `test` (10,000) set, read-only: images `(n, 784)`, upright. Raises ValueError, DataError."""
    if split not in FILES:
        raise ValueError(f"unknown split {split!r}; there are: {', '.join(FILES)}")
    if source() == "composed":
        return composed(split)
    return _original(folder(), split)


def source() -> str:
    """`original` where the published files are found, else `composed`.

    Raises DataError where only one of the files is there, or where the environment names a folder without them.
    """
    where = folder()
    missing = [name for name in FILES.values() if not (where / name).exists()]
    if not missing:
        return "original"
    if len(missing) == len(FILES) and not files.named(ENVIRONMENT):
        return "composed"
    raise DataError(
        f"no {' and no '.join(missing)} in {where}: unpack {SITE} there, or take away {ENVIRONMENT} and what "
        "there is, for the stand-in"
    )


def folder() -> Path:
    """Where the published files are looked for."""
    return files.data_folder(ENVIRONMENT, "backgrounds")


# ---- the published files


@cache
def _original(where: Path, split: str) -> Digits:
    rows = read(where / FILES[split], ROWS[split])[: USED[split]]
    images, labels = upright(rows[:, :-1], rows[:, -1]), rows[:, -1].copy()
    images.flags.writeable = labels.flags.writeable = False
    return Digits(images, labels)


def read(path: Path, n: int) -> np.ndarray:
    """The n rows of an amat file as bytes, `(n, 785)`: grey levels 0 to 255 in the file's order, then the label.

    Parsed once, and kept as `path` + `.npy` where that can be written; read from there while both are as they were.
    Raises DataError.
    """
    kept = path.with_name(path.name + ".npy")
    if files.noted(kept, [path]):
        with contextlib.suppress(OSError, ValueError, EOFError):  # a damaged one: parse again
            rows = np.load(kept, allow_pickle=False)
            if rows.dtype == np.uint8 and rows.shape == (n, SIDE * SIDE + 1):
                return rows
    try:
        fact = files.stated(path) | {"md5": files.digest(path)}
        with path.open(encoding="ascii") as lines:
            rows = parse_amat(lines, n, str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}): unpack {SITE} again") from error
    with contextlib.suppress(OSError):
        kept.with_suffix(".json").unlink(missing_ok=True)  # so that it never stands beside an array that it is not of
        files.write(kept, lambda file: np.save(file, rows))
        files.note(kept, [fact])
    return rows


def parse_amat(lines: Iterable[str], n: int, name: str) -> np.ndarray:
    """The n lines of an amat file, 784 numbers from 0 to 1 and a label, as bytes `(n, 785)`; a grey level becomes the
    nearest of 0 to 255. Raises DataError, which names the line."""
    columns = SIDE * SIDE + 1
    lines = iter(lines)
    rows = np.empty((n, columns), np.uint8)
    done = 0
    while block := list(islice(lines, 1000)):
        at = f"{name}, lines {done + 1} to {done + len(block)}"
        if not any(line.strip() for line in block):
            continue
        try:
            values = np.loadtxt(block, dtype=np.float32, ndmin=2, comments=None)
        except ValueError as error:
            raise DataError(f"{at}: {error}: unpack {SITE} again") from None
        if values.shape[1] != columns:
            raise DataError(f"{at}: {values.shape[1]} numbers to a line, wanted {columns}")
        grey, label = values[:, :-1], values[:, -1]
        if not (grey.min() >= 0 and grey.max() <= 1):
            raise DataError(f"{at}: grey levels from {grey.min():g} to {grey.max():g}, wanted 0 to 1")
        if not np.isin(label, np.arange(10)).all():
            raise DataError(f"{at}: a label that is none of 0 to 9")
        if done + len(values) > n:
            raise DataError(f"{name}: more than the {n} lines that were wanted")
        rows[done : done + len(values)] = np.rint(values * np.append(np.full(SIDE * SIDE, np.float32(255)), 1))
        done += len(values)
    if done != n:
        raise DataError(f"{name}: truncated ({done} lines, wanted {n}): unpack {SITE} again")
    return rows


def upright(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The images `(n, 784)`, each transposed if that makes them more like MNIST.

    The published images are in column-major order, others of the same collection are not, and there are converted copies
    of all. So the digits themselves are asked: the order is the one in which the mean image of each digit correlates
    better with that of MNIST.
    """
    digits = mnist.load("test")
    present = np.unique(labels)

    def means(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        by_digit = np.stack([images[labels == k].mean(0) for k in present])
        return by_digit - by_digit.mean(1, keepdims=True)

    ours, theirs = means(images, labels), means(digits.images, digits.labels)
    transposed = ours.reshape(-1, SIDE, SIDE).mT.reshape(ours.shape)
    if (transposed * theirs).sum() > (ours * theirs).sum():
        images = images.reshape(-1, SIDE, SIDE).mT.reshape(images.shape)
    return np.ascontiguousarray(images)


# ---- the stand-in


@cache
def composed(split: str) -> Digits:
    """The stand-in: the first 50,000 training images of MNIST, or its test images, over patches. Raises DataError."""
    digits = Digits(*(part[: USED[split]] for part in mnist.load(split)))
    images = np.maximum(digits.images, patches(photograph(), split, len(digits.images)).reshape(-1, SIDE * SIDE))
    images.flags.writeable = False
    return Digits(images, digits.labels)


def photograph() -> np.ndarray:
    """Matplotlib's photograph in grey levels, `(600, 512)` uint8. Raises DataError."""
    from matplotlib import cbook
    from PIL import Image

    try:
        path = Path(cbook.get_sample_data(PHOTOGRAPH, asfileobj=False))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(
            f"Matplotlib has no sample data {PHOTOGRAPH} ({error}): reinstall matplotlib, or set {ENVIRONMENT} "
            f"to a folder that holds the files of {SITE}"
        ) from error
    if digest != DIGEST:
        raise DataError(
            f"{path}: SHA-256 is {digest}, wanted {DIGEST}: not the photograph that the stand-in is made of; "
            "install matplotlib in the version of requirements.lock"
        )
    with Image.open(path) as image:
        return np.asarray(image.convert("L"))


def tiles(image: np.ndarray, split: str) -> list[np.ndarray]:
    """The 16 tiles of the photograph for `train`, or the 4 for `test`: one of each column, in different rows."""
    height, width = TILE
    return [
        image[height * row : height * (row + 1), width * column : width * (column + 1)]
        for row in range(image.shape[0] // height)
        for column in range(image.shape[1] // width)
        if ((row + 2 * column) % 5 == 0) == (split == "test")
    ]


def halved(image: np.ndarray) -> np.ndarray:
    """An image of half the height and width, each pixel the mean of four, rounded."""
    height, width = (length // 2 * 2 for length in image.shape)
    blocks = image[:height, :width].reshape(height // 2, 2, width // 2, 2).astype(np.uint16)
    return ((blocks.sum((1, 3)) + 2) // 4).astype(np.uint8)


def patches(image: np.ndarray, split: str, n: int) -> np.ndarray:
    """n patches `(n, 28, 28)` uint8 of a photograph's tiles for this split, drawn with replacement from all with
    enough variance, at either size, in any orientation. Raises DataError where there are none."""
    found = []
    for tile in tiles(image, split):
        for size in (tile, halved(tile)):
            windows = np.lib.stride_tricks.sliding_window_view(size, (SIDE, SIDE))
            # The variance of a window from sums over it, exact: n^2 var = n sum(x^2) - (sum x)^2.
            total, squares = (_window_sums(size.astype(np.int64) ** power) for power in (1, 2))
            textured = SIDE**2 * squares - total**2 >= (SIDE**2 * DEVIATION) ** 2
            found.append((windows, np.argwhere(textured)))
    ends = np.cumsum([len(positions) for _, positions in found])
    if not ends[-1]:
        raise DataError(f"no patch for {split} with a standard deviation of {DEVIATION} grey levels in the photograph")
    # Raw output of PCG64: the same in every version of NumPy. Its modulus by so small a number is uniform enough.
    raw = np.random.PCG64(SEEDS[split]).random_raw(2 * n)
    chosen, orientation = (raw[:n] % np.uint64(ends[-1])).astype(np.int64), raw[n:] >> np.uint64(61)
    out = np.empty((n, SIDE, SIDE), np.uint8)
    for (windows, positions), end in zip(found, ends, strict=True):
        mine = np.flatnonzero((chosen >= end - len(positions)) & (chosen < end))
        row, column = positions[chosen[mine] - (end - len(positions))].T
        out[mine] = windows[row, column]
    for k in range(8):
        mine = orientation == k
        turned = np.rot90(out[mine], k % 4, (1, 2))
        out[mine] = turned.mT if k >= 4 else turned
    return out


def _window_sums(values: np.ndarray) -> np.ndarray:
    """The sum over each 28 x 28 window, from the integral image."""
    integral = np.pad(values.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    return integral[SIDE:, SIDE:] - integral[:-SIDE, SIDE:] - integral[SIDE:, :-SIDE] + integral[:-SIDE, :-SIDE]
