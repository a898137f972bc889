"""MNIST: the shipped data are the real ones, and any other file is refused with its name and a remedy."""

import gzip
import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from fa_core.data import mnist
from fa_core.data.mnist import DataError, parse_idx

ROWS = (
    ("train", 60_000, [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]),
    ("test", 10_000, [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]),
)


@pytest.fixture(autouse=True)
def shipped(monkeypatch):
    """The files of the package, whatever the environment of whoever runs the tests says."""
    monkeypatch.delenv(mnist.ENVIRONMENT, raising=False)


def idx(array, dtype=0x08, zeros=0) -> bytes:
    """An array as an IDX file, written here from the format's description."""
    return struct.pack(f">HBB{array.ndim}I", zeros, dtype, array.ndim, *array.shape) + array.tobytes()


# ---- the shipped data


@pytest.mark.parametrize(("split", "n", "counts"), ROWS, ids=[r[0] for r in ROWS])
def test_the_shipped_data_have_the_known_shapes_and_label_counts(split, n, counts):
    digits = mnist.load(split)
    assert digits.images.shape == (n, 784)
    assert digits.labels.shape == (n,)
    assert digits.images.dtype == digits.labels.dtype == np.uint8
    assert (digits.images.min(), digits.images.max()) == (0, 255)
    assert np.bincount(digits.labels).tolist() == counts


def test_images_are_in_the_files_order_with_their_labels_and_upright():
    # The first training image is a 5, the first test image a 7: its bar is above its foot.
    assert (mnist.load("train").labels[0], mnist.load("test").labels[0]) == (5, 7)
    seven = mnist.load("test").images[0].reshape(28, 28) > 128
    assert seven[7:10].sum(axis=1).max() > 10
    assert seven[18:27].sum(axis=1).max() < 6


def test_the_arrays_are_read_only_for_every_run_shares_them():
    for array in (*mnist.load("train"), *mnist.load("test")):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="unknown split 'validation'; there are: train, test"):
        mnist.load("validation")


# ---- the format


images = arrays(np.uint8, array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5))


@given(images)
def test_what_is_written_as_idx_is_read_back(array):
    found = parse_idx(idx(array), "a file")
    assert found.shape == array.shape
    assert found.dtype == np.uint8
    assert np.array_equal(found, array)


@given(images, st.data())
def test_any_beginning_of_a_file_and_any_extension_is_refused(array, data):
    content = idx(array)
    with pytest.raises(DataError, match=r"^a file: .*(too short|truncated)"):
        parse_idx(content[: data.draw(st.integers(0, len(content) - 1))], "a file")
    with pytest.raises(DataError, match="a file: trailing bytes"):
        parse_idx(content + data.draw(st.binary(min_size=1)), "a file")


HUGE = (2**32 - 1) ** 4  # more than 64 bits
SQUARE = np.arange(6, dtype=np.uint8).reshape(2, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "0 bytes, too short for an IDX header"),
        (b"\0\0\x08", "3 bytes, too short for an IDX header"),
        (idx(SQUARE, zeros=0x1F8B), r"not an IDX file \(it begins with 1f8b0802, wanted 0000, type, dimensions\)"),
        (idx(np.uint8(7)), r"not an IDX file \(it begins with 00000800, wanted .*\)"),
        (idx(SQUARE, dtype=0x0D), r"IDX data type 0x0d, wanted 0x08 \(unsigned bytes\)"),
        (idx(SQUARE)[:11], r"truncated in its header \(11 bytes, wanted at least 12\)"),
        (idx(SQUARE)[:-1], r"truncated \(17 bytes, its header \(2, 3\) wants 18\)"),
        (idx(SQUARE) + b"\0", r"trailing bytes \(19 bytes, its header \(2, 3\) wants 18\)"),
        (struct.pack(">HBB4I", 0, 8, 4, *[2**32 - 1] * 4), rf"truncated \(20 bytes, its header .* wants {HUGE + 20}\)"),
    ],
    ids=[
        "empty",
        "no header",
        "wrong magic",
        "no dimension",
        "wrong type",
        "half a header",
        "truncated",
        "trailing bytes",
        "impossible size",
    ],
)
def test_each_fault_of_an_idx_file_has_a_message_of_its_own(content, message):
    with pytest.raises(DataError, match=f"^some/file: {message}$"):
        parse_idx(content, "some/file")


# ---- the files


REMEDY = "Put the published file there, or take FA_CORE_MNIST away: the four files come with fa_core"


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A folder with the test images and labels, not gzipped, named in the environment."""
    for part in ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        (tmp_path / part).write_bytes(gzip.decompress((mnist.SHIPPED / f"{part}.gz").read_bytes()))
    monkeypatch.setenv(mnist.ENVIRONMENT, str(tmp_path))
    return tmp_path


def test_the_environment_may_name_another_folder_and_its_files_need_not_be_gzipped(elsewhere):
    ours = mnist.load("test")
    assert ours.images.shape == (10_000, 784)
    assert np.array_equal(ours.labels, mnist.read(mnist.SHIPPED, "t10k-labels-idx1-ubyte"))
    with pytest.raises(DataError, match=rf"no train-images-idx3-ubyte.gz \(or .*\) in {elsewhere}. {REMEDY}"):
        mnist.load("train")


def test_what_is_wrong_with_the_shipped_files_is_mended_by_git(tmp_path, monkeypatch):
    monkeypatch.setattr(mnist, "SHIPPED", tmp_path)
    with pytest.raises(DataError, match=r"Restore it, e.g. by git checkout, or reinstall fa_core, or set FA_CORE_MNIST to"):
        mnist.read(tmp_path, "t10k-labels-idx1-ubyte")


LABELS = "t10k-labels-idx1-ubyte"


@pytest.mark.parametrize(
    "place",
    [
        LABELS,
        f"{LABELS}.gz",
        "t10k-labels.idx1-ubyte",
        "t10k-labels.idx1-ubyte.gz",
        f"MNIST/raw/{LABELS}",
        f"raw/{LABELS}.gz",
    ],
)
@pytest.mark.parametrize("unpacked", [True, False], ids=["plain", "gzip"])
def test_a_file_is_known_by_its_content_under_each_name_that_a_tool_gives_it(tmp_path, place, unpacked):
    content = (mnist.SHIPPED / f"{LABELS}.gz").read_bytes()
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).write_bytes(gzip.decompress(content) if unpacked else content)
    assert np.bincount(mnist.read(tmp_path, LABELS)).tolist() == ROWS[1][2]


def test_a_damaged_file_does_not_hide_a_whole_one_beside_it(elsewhere):
    (elsewhere / f"{LABELS}.gz").write_bytes(b"")
    assert len(mnist.read(elsewhere, LABELS)) == 10_000
    (elsewhere / LABELS).write_bytes((elsewhere / "t10k-images-idx3-ubyte").read_bytes())
    with pytest.raises(DataError, match=rf"{LABELS}\.gz: 0 bytes, too short.*; .*{LABELS}: SHA-256 .*it is t10k-images"):
        mnist.read(elsewhere, LABELS)


@pytest.mark.parametrize("value", ["", "~/digits"])
def test_the_variable_may_be_empty_and_may_begin_at_home(tmp_path, monkeypatch, value):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(mnist.ENVIRONMENT, value)
    monkeypatch.chdir(tmp_path)
    if value:
        (tmp_path / "digits").symlink_to(mnist.SHIPPED)
    assert len(mnist.load("test").labels) == 10_000
    assert sorted(p.name for p in tmp_path.iterdir()) == (["digits"] if value else [])


def test_a_file_compressed_by_another_gzip_is_the_same_data(elsewhere):
    plain = elsewhere / "t10k-labels-idx1-ubyte"
    (elsewhere / f"{plain.name}.gz").write_bytes(gzip.compress(plain.read_bytes(), 1))
    plain.unlink()
    assert mnist.read(elsewhere, plain.name).shape == (10_000,)


@pytest.mark.parametrize("name", mnist.DIGESTS)
@pytest.mark.parametrize("folder", [".", "no/such/folder"])
def test_a_missing_file_or_folder_is_named_with_a_remedy(tmp_path, folder, name):
    with pytest.raises(DataError, match=rf"no {name}.gz \(or {name}\) in {tmp_path / folder}. {REMEDY}"):
        mnist.read(tmp_path / folder, name)


@pytest.mark.parametrize(
    "damage",
    [
        lambda c: c[: len(c) // 2],
        lambda c: c[:-4],
        lambda c: c[:2000] + bytes([c[2000] ^ 0x55]) + c[2001:],
        lambda c: gzip.compress(b"")[:10] + b"\xff" * 100,
        lambda c: c[::-1],
        lambda c: b"",
    ],
    ids=["half of it", "without its end", "a changed byte", "no such compression", "no gzip at all", "empty"],
)
def test_a_damaged_gzip_is_named_with_a_remedy(tmp_path, damage):
    name = "t10k-labels-idx1-ubyte"
    content = damage((mnist.SHIPPED / f"{name}.gz").read_bytes())
    (tmp_path / f"{name}.gz").write_bytes(content)
    with pytest.raises(DataError, match=f"{name}.gz.*{REMEDY}"):
        mnist.read(tmp_path, name)


def test_a_damaged_plain_file_is_named_with_its_fault_and_a_remedy(elsewhere):
    labels = elsewhere / "t10k-labels-idx1-ubyte"
    labels.write_bytes(labels.read_bytes()[:-1])
    with pytest.raises(DataError, match=rf"{labels}: truncated \(10007 bytes.*. {REMEDY}"):
        mnist.load("test")


def test_well_formed_files_of_other_content_are_refused_with_a_remedy(elsewhere):
    name = "t10k-labels-idx1-ubyte"
    labels = mnist.read(mnist.SHIPPED, name).copy()
    labels[5000] = (labels[5000] + 1) % 10
    (elsewhere / name).write_bytes(idx(labels))
    with pytest.raises(
        DataError,
        match=f"{name}: SHA-256 of its content is [0-9a-f]{{64}}, wanted {mnist.DIGESTS[name]}: "
        f"not the standard MNIST file. {REMEDY}",
    ):
        mnist.load("test")


# ---- scaling


def test_training_pixels_have_mean_zero_and_deviation_one():
    scaled = mnist.standardise(mnist.load("train").images)
    assert scaled.dtype == np.float32
    assert scaled.shape == (60_000, 784)
    assert scaled.mean(dtype=float) == pytest.approx(0, abs=1e-4)
    assert np.square(scaled).mean(dtype=float) == pytest.approx(1, abs=1e-4)


def test_test_pixels_are_scaled_by_the_training_moments_and_not_by_their_own():
    images = mnist.load("test").images
    # The known mean and standard deviation of the training pixels, 0.1307 and 0.3081 of 255.
    np.testing.assert_allclose(mnist.standardise(images), (images - 33.318421) / 78.567490, rtol=0, atol=1e-5)
    assert mnist.standardise(images).mean(dtype=float) == pytest.approx(0.0063, abs=5e-4)


@given(arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(2, 9))).filter(lambda a: a.std() > 1))
def test_any_reference_gets_mean_zero_and_deviation_one_and_keeps_its_order(reference):
    scaled = mnist.standardise(reference, reference)
    assert scaled.mean(dtype=float) == pytest.approx(0, abs=1e-4)
    assert math.sqrt(np.square(scaled).mean(dtype=float)) == pytest.approx(1, abs=1e-4)
    assert np.array_equal(np.diff(reference.ravel().astype(int)) > 0, np.diff(scaled.ravel()) > 0)
