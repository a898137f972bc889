"""Digits over photographs: the published text format, read once and upright; else the stand-in, the same everywhere."""

import hashlib
import os
import time
from pathlib import Path

import numpy as np
import pytest

from fa_core import files
from fa_core.data import backgrounds, mnist
from fa_core.data.mnist import DataError

N = {"train": 60, "test": 50}


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch, tmp_path_factory):
    """Whatever the environment of whoever runs the tests says, and whatever data they have."""
    for name in (backgrounds.ENVIRONMENT, mnist.ENVIRONMENT):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    yield
    backgrounds._original.cache_clear()


def amat(images, labels) -> str:
    """Images of bytes and labels in the published format, as MATLAB's `save -ascii` writes it."""
    rows = np.column_stack([images / 255, labels])
    return "".join("   " + "   ".join(f"{v:.7e}" for v in row) + "\n" for row in rows)


@pytest.fixture
def published(monkeypatch, tmp_path):
    """A folder with small files in the true format, in column-major order, named in the environment; the images in it."""
    monkeypatch.setattr(backgrounds, "ROWS", N)
    monkeypatch.setattr(backgrounds, "USED", {"train": 60, "test": 40})
    monkeypatch.setenv(backgrounds.ENVIRONMENT, str(tmp_path))
    sets = {}
    for split, n in N.items():
        digits = backgrounds.Digits(*(part[100 : 100 + n] for part in mnist.load(split)))
        images = np.maximum(digits.images, 60)
        transposed = images.reshape(n, 28, 28).mT.reshape(n, 784)
        (tmp_path / backgrounds.FILES[split]).write_text(amat(transposed, digits.labels))
        sets[split] = (images, digits.labels)
    return sets


def file(split="train") -> Path:
    return backgrounds.folder() / backgrounds.FILES[split]


# ---- the published files


@pytest.mark.parametrize(("split", "used"), [("train", 60), ("test", 40)])
def test_the_published_files_are_read_upright_the_larger_to_train_on(published, split, used):
    assert backgrounds.source() == "original"
    found = backgrounds.load(split)
    images, labels = published[split]
    assert found.images.dtype == found.labels.dtype == np.uint8
    assert np.array_equal(found.images, images[:used])
    assert np.array_equal(found.labels, labels[:used])
    with pytest.raises(ValueError, match="read-only"):
        found.images[0] = 0


def test_the_larger_file_is_the_published_test_set():
    assert backgrounds.FILES["train"] == "mnist_background_images_test.amat"
    assert (backgrounds.ROWS, backgrounds.USED) == ({"train": 50_000, "test": 12_000}, {"train": 50_000, "test": 10_000})


def test_files_that_were_put_upright_already_are_left_so(published):
    images, labels = published["train"]
    file().write_text(amat(images, labels))
    assert np.array_equal(backgrounds.load("train").images, images)


def test_the_usual_folder_needs_no_variable(published, monkeypatch, tmp_path):
    monkeypatch.delenv(backgrounds.ENVIRONMENT)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a"))
    assert backgrounds.source() == "composed"
    backgrounds.folder().mkdir(parents=True)
    assert backgrounds.folder() == tmp_path / "a" / "fa_core" / "backgrounds"
    for name in backgrounds.FILES.values():
        (tmp_path / name).rename(backgrounds.folder() / name)
    assert backgrounds.source() == "original"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert backgrounds.folder() == tmp_path / ".cache" / "fa_core" / "backgrounds"


def test_a_file_is_parsed_once_and_again_when_it_is_another(published, monkeypatch):
    first = backgrounds.read(file(), 60)
    assert sorted(p.name for p in backgrounds.folder().iterdir()) == sorted(
        [*backgrounds.FILES.values(), f"{file().name}.npy", f"{file().name}.json"]
    )
    with monkeypatch.context() as patched:
        patched.delattr(backgrounds, "parse_amat")
        assert np.array_equal(backgrounds.read(file(), 60), first)
    time_of_first = file().stat().st_mtime_ns
    # An older one is another one as well, and one of the same size and time.
    for label, moment in ((3, time.time_ns() + 10**9), (4, 10**9), (5, time_of_first), (6, time_of_first)):
        file().write_text(amat(np.zeros((60, 784)), np.full(60, label)))
        os.utime(file(), ns=(moment, moment))
        assert (backgrounds.read(file(), 60)[:, -1] == label).all()


def test_a_copy_is_believed_only_if_it_holds_what_was_put_there(published):
    first = backgrounds.read(file(), 60)
    kept = file().with_name(f"{file().name}.npy")
    np.save(kept, 255 - first)
    assert np.array_equal(backgrounds.read(file(), 60), first)
    moment = kept.stat().st_mtime_ns + 10**9
    os.utime(kept, ns=(moment, moment))  # as of one that was only moved
    with pytest.MonkeyPatch.context() as patched:
        patched.delattr(backgrounds, "parse_amat")
        assert np.array_equal(backgrounds.read(file(), 60), first)


@pytest.mark.parametrize("damage", [lambda c: c[:200], lambda c: b"", lambda c: c[:-1], lambda c: b"x" + c[1:]])
def test_a_damaged_copy_is_made_anew(published, damage):
    first = backgrounds.read(file(), 60)
    kept = file().with_name(f"{file().name}.npy")
    kept.write_bytes(damage(kept.read_bytes()))
    assert np.array_equal(backgrounds.read(file(), 60), first)
    assert np.array_equal(np.load(kept), first)


def test_a_copy_that_cannot_be_written_is_no_matter_and_leaves_nothing(published, monkeypatch):
    def fail(*_):
        raise PermissionError("read-only folder")

    monkeypatch.setattr(files.os, "replace", fail)
    assert len(backgrounds.read(file(), 60)) == 60
    assert sorted(p.name for p in backgrounds.folder().iterdir()) == sorted(backgrounds.FILES.values())


def test_every_grey_level_is_read_back_and_others_become_the_nearest():
    levels = np.resize(np.arange(256), (4, 784))
    rows = backgrounds.parse_amat(amat(levels, [0, 1, 8, 9]).splitlines(True), 4, "a file")
    assert np.array_equal(rows[:, :-1], levels)
    assert rows[:, -1].tolist() == [0, 1, 8, 9]
    line = " ".join(["0.5", "1", "0.0019", "0.002"] + 780 * ["0"] + ["7"])
    assert backgrounds.parse_amat([line], 1, "a file")[0, [0, 1, 2, 3, 784]].tolist() == [128, 255, 0, 1, 7]


def test_more_lines_than_are_parsed_at_a_time_keep_their_order():
    labels = np.arange(2500) % 7
    lines = [" ".join(784 * ["0"]) + f" {k}\n" for k in labels]
    assert np.array_equal(backgrounds.parse_amat(lines, 2500, "a file")[:, -1], labels)


ROW = 784 * "0.5 "


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], r"truncated \(0 lines, wanted 2\): unpack http"),
        ([ROW + "1"], r"truncated \(1 lines, wanted 2\): unpack http"),
        ([ROW + "1"] * 3, "more than the 2 lines that were wanted"),
        ([ROW] * 2, "784 numbers to a line, wanted 785"),
        ([ROW + "1", ROW[4:] + "1"], "lines 1 to 2: .*unpack http"),
        ([ROW + "1", ROW + "one"], "lines 1 to 2: .*one.*unpack http"),
        ([ROW[4:] + "1.5 1"] * 2, "grey levels from 0.5 to 1.5, wanted 0 to 1"),
        ([ROW[4:] + "-1 1"] * 2, "grey levels from -1 to 0.5, wanted 0 to 1"),
        ([ROW[4:] + "nan 1"] * 2, "grey levels from nan to nan"),
        ([ROW + "10"] * 2, "a label that is none of 0 to 9"),
        ([ROW + "2.5"] * 2, "a label that is none of 0 to 9"),
        (["<html>\n", "</html>\n"], "lines 1 to 2: .*unpack http"),
    ],
    ids=[
        "empty",
        "truncated",
        "too long",
        "no label",
        "a short line",
        "no number",
        "above 1",
        "below 0",
        "nan",
        "label 10",
        "half a label",
        "html",
    ],
)
def test_each_fault_of_a_file_has_a_message_of_its_own(lines, message):
    with pytest.raises(DataError, match=f"^some/file[:,] .*{message}|^some/file: {message}"):
        backgrounds.parse_amat(lines, 2, "some/file")


def test_a_file_of_bytes_is_refused_by_name(published):
    file().write_bytes(b"\xff\x00" * 100)
    with pytest.raises(DataError, match=rf"{file()} cannot be read .*: unpack http"):
        backgrounds.load("train")


@pytest.mark.parametrize("load", [backgrounds.source, backgrounds.load])
@pytest.mark.parametrize("gone", [["train"], ["test"], ["train", "test"]], ids="+".join)
def test_a_folder_without_its_files_is_not_passed_over(published, gone, load):
    for split in gone:
        file(split).unlink()
    names = " and no ".join(backgrounds.FILES[split] for split in gone)
    with pytest.raises(DataError, match=rf"no {names} in {backgrounds.folder()}: unpack http.*FA_CORE_BACKGROUNDS"):
        load()


def test_half_of_the_files_in_the_usual_folder_is_not_passed_over():
    backgrounds.folder().mkdir(parents=True)
    file("test").touch()
    with pytest.raises(DataError, match=r"no mnist_background_images_test\.amat in"):
        backgrounds.source()


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="unknown split 'validation'; there are: train, test"):
        backgrounds.load("validation")


# ---- the stand-in


KNOWN = {"train": "6f468c9909cce6ee", "test": "1a8632e65e9d5ce1"}


@pytest.fixture(scope="module")
def photograph():
    return backgrounds.photograph()


@pytest.mark.parametrize(("split", "n"), [("train", 50_000), ("test", 10_000)])
def test_the_stand_in_has_mnists_digits_over_what_is_nowhere_darker(split, n):
    assert backgrounds.source() == "composed"
    found, digits = backgrounds.load(split), mnist.load(split)
    assert found.images.shape == (n, 784)
    assert found.images.dtype == np.uint8
    assert np.array_equal(found.labels, digits.labels[:n])
    assert (found.images >= digits.images[:n]).all()
    patches = backgrounds.patches(backgrounds.photograph(), split, n).reshape(n, 784)
    # Each pixel is the digit's or the patch's, and no other.
    assert ((found.images == digits.images[:n]) | (found.images == patches)).all()
    assert (found.images[digits.images[:n] == 255] == 255).all()
    assert (patches.std(1) >= backgrounds.DEVIATION - 1e-6).all()
    with pytest.raises(ValueError, match="read-only"):
        found.images[0] = 0


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_patches_are_the_known_ones_of_an_image_that_needs_no_decoder(split):
    row, column = np.mgrid[:600, :512]
    image = ((row * row // 7 + 3 * column + row * column // 11) % 256).astype(np.uint8)
    patches = backgrounds.patches(image, split, 500)
    assert hashlib.sha256(patches.tobytes()).hexdigest()[:16] == KNOWN[split]


def test_no_pixel_is_in_the_patches_of_both_splits():
    # An image in which the 16 training tiles are dark and the 4 test tiles are light.
    image = np.random.default_rng(0).integers(0, 100, (600, 512)).astype(np.uint8)
    for tile in backgrounds.tiles(image, "test"):
        tile += 130
    assert backgrounds.patches(image, "train", 3000).max() < 100
    assert backgrounds.patches(image, "test", 3000).min() >= 130


def test_the_tiles_are_the_whole_photograph_each_column_and_four_rows_tested(photograph):
    image = np.arange(photograph.size).reshape(photograph.shape)
    train, test = (backgrounds.tiles(image, split) for split in ("train", "test"))
    assert (len(train), len(test)) == (16, 4)
    assert np.array_equal(np.sort(np.concatenate([tile.ravel() for tile in train + test])), image.ravel())
    assert len({tile[0, 0] // 512 // 120 for tile in test}) == 4
    assert len({tile[0, 0] % 512 // 128 for tile in test}) == 4


def test_patches_come_in_every_orientation_and_at_both_sizes(monkeypatch):
    # Every tile the same: a full-size ramp along the columns, of step 2; at half size the step is 4.
    tile = np.broadcast_to(2 * np.arange(128), (120, 128)).copy()
    tile[:60] += tile[:60] % 4 // 2  # unsymmetric under reflection of the rows too
    image = np.tile(tile, (5, 4)).astype(np.uint8)
    monkeypatch.setattr(backgrounds, "DEVIATION", 10)
    patches = backgrounds.patches(image, "test", 4000).astype(int)
    steps = np.stack([np.diff(patches, axis=1).mean((1, 2)), np.diff(patches, axis=2).mean((1, 2))], 1).round().astype(int)
    kinds, counts = np.unique(steps, axis=0, return_counts=True)
    assert {tuple(k) for k in kinds} == {(s, 0) for s in (2, -2, 4, -4)} | {(0, s) for s in (2, -2, 4, -4)}
    full = np.abs(kinds).max(1) == 2
    for size in (full, ~full):  # a quarter each: two of the eight orientations give one direction of the ramp
        assert (np.abs(counts[size] / counts[size].sum() - 0.25) < 0.08).all()


def test_halving_takes_the_rounded_mean_of_four():
    image = np.array([[0, 1, 255, 255, 9], [1, 1, 255, 254, 9], [9, 9, 9, 9, 9]], np.uint8)
    assert backgrounds.halved(image).tolist() == [[1, 255]]


def test_patches_without_texture_are_left_out():
    image = np.full((600, 512), 128, np.uint8)
    with pytest.raises(DataError, match="no patch for train with a standard deviation of 20"):
        backgrounds.patches(image, "train", 5)
    image[:60, :60] = np.indices((60, 60)).sum(0) % 2 * 200
    patches = backgrounds.patches(image, "test", 200)  # tile (0, 0) is one of the test's
    assert patches.reshape(200, -1).std(1).min() >= 20


def test_the_photograph_is_the_known_one(photograph):
    assert photograph.shape == (600, 512)
    assert photograph.dtype == np.uint8
    # A decoder may differ by a grey level, so not its digest: what it looks like.
    assert photograph.mean(dtype=float) == pytest.approx(77, abs=1)


def test_another_photograph_or_none_is_refused(monkeypatch, tmp_path):
    from matplotlib import cbook

    monkeypatch.setattr(cbook, "get_sample_data", lambda name, asfileobj: str(tmp_path / name))
    with pytest.raises(DataError, match=r"no sample data grace_hopper.jpg .*reinstall matplotlib, or set FA_CORE_"):
        backgrounds.photograph()
    (tmp_path / backgrounds.PHOTOGRAPH).write_bytes(b"not a photograph")
    with pytest.raises(DataError, match=r"SHA-256 is [0-9a-f]{64}, wanted a8ca6d73.*install matplotlib in the version"):
        backgrounds.photograph()
