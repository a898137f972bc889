"""SVHN: small files in the published format are read as grey levels, and anything else is refused with a remedy; the
download goes on where it was. Its server is one of our own, on loopback."""

import errno
import hashlib
import http.server
import json
import os
import shutil
import threading
from collections import namedtuple

import numpy as np
import pytest
import scipy.io

from fa_core.data import svhn
from fa_core.data.mnist import DataError

N = {"train_32x32.mat": 30, "extra_32x32.mat": 50, "test_32x32.mat": 20}


def images(name) -> tuple[np.ndarray, np.ndarray]:
    """Random pixels `(32, 32, 3, n)` and labels `(n, 1)`, 1 to 10, as a file has them."""
    rng = np.random.default_rng(sorted(N).index(name))
    n = N[name]
    return rng.integers(0, 256, (32, 32, 3, n), dtype=np.uint8), np.resize(np.arange(10, 0, -1), (n, 1)).astype(np.uint8)


def put(path, X, y, **options):
    """A file as MATLAB writes it: version 5, compressed."""
    scipy.io.savemat(path, {"X": X, "y": y} | options, do_compression=True)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty folder, named in the environment; no proxy stands between a test and its server."""
    monkeypatch.setenv(svhn.ENVIRONMENT, str(tmp_path))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def published(folder, monkeypatch):
    """The three files, small, with their digests in the place of the published ones."""
    for name in N:
        put(folder / name, *images(name))
    monkeypatch.setattr(svhn, "DIGESTS", {name: hashlib.md5((folder / name).read_bytes()).hexdigest() for name in N})
    return folder


# ---- reading


def test_the_published_files_are_as_many_as_the_paper_says():
    assert [sum(svhn.COUNTS[name] for name in names) for names in svhn.SPLITS.values()] == [604_388, 73_257, 26_032]
    assert set(svhn.DIGESTS) == set(svhn.COUNTS)


@pytest.mark.parametrize(
    ("split", "names"),
    [("train", ["train_32x32.mat", "extra_32x32.mat"]), ("train only", ["train_32x32.mat"]), ("test", ["test_32x32.mat"])],
)
def test_pixels_are_the_mean_of_three_channels_row_by_row_and_ten_is_zero(published, monkeypatch, split, names):
    monkeypatch.setattr(svhn, "PIECE", 7)
    found = svhn.load(split)
    X, y = (np.concatenate(parts, axis) for parts, axis in zip(zip(*map(images, names), strict=True), (3, 0), strict=True))
    assert found.images.shape == (len(y), 1024)
    assert found.images.dtype == found.labels.dtype == np.uint8
    for i in (0, 6, 7, len(y) - 1):
        wanted = np.rint(X[..., i].astype(float).mean(axis=2))
        assert np.array_equal(found.images[i].reshape(32, 32), wanted)
    assert found.labels.tolist() == [k % 10 for k in y[:, 0]]
    assert found.labels[0] == 0


@pytest.mark.parametrize(
    "levels", [(0, 0, 0), (255, 255, 255), (0, 0, 1), (0, 1, 1), (255, 255, 254), (255, 254, 254), (1, 2, 3)]
)
def test_a_mean_is_rounded_to_the_nearest(levels):
    pixels = np.empty((32, 32, 3, 2), np.uint8)
    pixels[:] = np.array(levels)[:, None]
    assert (svhn.grey(pixels) == round(sum(levels) / 3)).all()


def test_images_are_memory_mapped_and_nothing_can_be_written(published):
    found = svhn.load("train")
    assert isinstance(found.images, np.memmap)
    assert found.images.mode == "r"
    for array in found:
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_images_are_never_all_converted_at_once(published, monkeypatch):
    sizes = []
    monkeypatch.setattr(svhn, "PIECE", 8)
    monkeypatch.setattr(svhn, "grey", lambda pixels, grey=svhn.grey: sizes.append(pixels.shape[3]) or grey(pixels))
    svhn.load("test")
    assert sizes == [8, 8, 4]


def test_what_is_present_is_said(published):
    assert svhn.present() == ("train_32x32.mat", "extra_32x32.mat", "test_32x32.mat")
    (published / "extra_32x32.mat").unlink()
    assert svhn.present() == ("train_32x32.mat", "test_32x32.mat")
    assert svhn.load("train only").images.shape == (30, 1024)


def test_the_usual_folder_needs_no_variable(monkeypatch, tmp_path):
    monkeypatch.delenv(svhn.ENVIRONMENT)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a"))
    assert svhn.folder() == tmp_path / "a" / "fa_core" / "svhn"
    assert svhn.present() == ()
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert svhn.folder() == tmp_path / ".cache" / "fa_core" / "svhn"


# ---- what is refused


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="unknown split 'extra'; there are: train, train only, test"):
        svhn.load("extra")


REMEDY = r"fetch with `python -m fa_core.data.svhn download`, or set FA_CORE_SVHN to a folder that holds the files of http"


@pytest.mark.parametrize(
    ("gone", "split", "message"),
    [
        (["test_32x32.mat"], "test", f"no test_32x32.mat in .*: {REMEDY}[^;]*$"),
        (
            ["train_32x32.mat", "extra_32x32.mat"],
            "train",
            f"no train_32x32.mat and no extra_32x32.mat in .*: {REMEDY}[^;]*$",
        ),
        (
            ["extra_32x32.mat"],
            "train",
            f"no extra_32x32.mat in .*: {REMEDY}.*; for train_32x32.mat alone ask for 'train only'$",
        ),
    ],
)
def test_a_missing_file_is_named_with_a_remedy(published, gone, split, message):
    svhn.load(split)  # what was converted of files that are gone is not served in their place
    for name in gone:
        (published / name).unlink()
    with pytest.raises(DataError, match=message):
        svhn.load(split)


def test_another_file_is_refused_by_its_digest_also_when_it_was_converted_without(published):
    name = "test_32x32.mat"
    X, y = images(name)
    put(published / name, 255 - X, y)
    refused = rf"{name}: its MD5 is [0-9a-f]{{32}}, wanted {svhn.DIGESTS[name]}: .*Take it away and fetch it with `python -m"
    with pytest.raises(DataError, match=refused):
        svhn.load("test")
    assert not list(published.glob("*.npy"))
    assert svhn.load("test", verify=False).images.shape == (20, 1024)
    with pytest.raises(DataError, match=refused):
        svhn.load("test")


DAMAGE = {
    "empty": lambda c: b"",
    "half of its header": lambda c: c[:60],
    "header alone": lambda c: c[:128],
    "half of it": lambda c: c[: len(c) // 2],
    "without its end": lambda c: c[:-20],
    "a changed stretch": lambda c: c[:5000] + b"\xff" * 200 + c[5200:],
    "no such file at all": lambda c: b"<html>" * 1000,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_named_with_a_remedy_and_leaves_nothing(published, damage):
    path = published / "train_32x32.mat"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"train_32x32.mat: its MD5 is .*damaged, truncated.*fetch it with"):
        svhn.load("train")
    with pytest.raises(DataError, match=r"train_32x32.mat(: [Xy] is missing| cannot be read).*fetch it with `python -m"):
        svhn.load("train", verify=False)
    assert svhn.load("test").images.shape == (20, 1024)
    assert not list(published.glob("train*npy*"))
    assert not list(published.glob("*.part"))


X, Y = images("test_32x32.mat")


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (X[..., 0], Y, r"X is \(32, 32, 3\) uint8, wanted \(32, 32, 3, n\) uint8"),
        (X.transpose(3, 0, 1, 2), Y, r"X is \(20, 32, 32, 3\) uint8, wanted"),
        (X.astype(float), Y, r"X is \(32, 32, 3, 20\) double, wanted"),
        (X, Y[:-1], r"y is \(19, 1\), wanted \(20, 1\), a label for each image"),
        (X, Y - 1, "labels from 0 to 9, wanted 1 to 10"),
        (X, Y + 1, "labels from 2 to 11, wanted 1 to 10"),
        (X, Y / 2 + 0.5, "labels from 1.0 to 5.5, wanted 1 to 10"),
    ],
    ids=["no images", "another order", "floats", "a label too few", "0 to 9", "2 to 11", "halves"],
)
def test_files_with_other_content_are_refused(folder, X, y, message):
    put(folder / "test_32x32.mat", X, y)
    with pytest.raises(DataError, match=rf"test_32x32.mat: {message}.*fetch it with `python -m"):
        svhn.load("test", verify=False)


def test_variables_that_are_missing_are_named(folder):
    scipy.io.savemat(folder / "test_32x32.mat", {"Z": 1})
    with pytest.raises(DataError, match=r"X is missing, wanted"):
        svhn.load("test", verify=False)
    scipy.io.savemat(folder / "test_32x32.mat", {"X": X})
    with pytest.raises(DataError, match=r"y is missing, wanted \(20, 1\)"):
        svhn.load("test", verify=False)


# ---- the copy


@pytest.fixture
def conversions(monkeypatch):
    """The names of the copies that are made, in order."""
    made, convert = [], svhn.convert

    def noted(sources, kept, verify):
        made.append(kept.name)
        convert(sources, kept, verify)

    monkeypatch.setattr(svhn, "convert", noted)
    return made


def test_a_file_is_converted_once_and_again_when_it_changed(published, conversions):
    first = np.array(svhn.load("test").images)
    assert np.array_equal(svhn.load("test").images, first)
    assert conversions == ["test_32x32.grey.npy"]
    path = published / "test_32x32.mat"
    put(path, 255 - X, Y)
    assert np.array_equal(svhn.load("test", verify=False).images, svhn.grey(255 - X))
    assert len(conversions) == 2
    # Of the same length, for it is not compressed.
    scipy.io.savemat(path, {"X": X, "y": Y})
    svhn.load("test", verify=False)
    stat = path.stat()
    scipy.io.savemat(path, {"X": X[..., ::-1], "y": Y})
    assert path.stat().st_size == stat.st_size
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # and of the same time, as of one that was unpacked
    assert np.array_equal(svhn.load("test", verify=False).images, svhn.grey(X[..., ::-1]))
    # Of the same time and another size.
    stat = path.stat()
    put(path, X[..., :5], Y[:5])
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert len(svhn.load("test", verify=False).images) == 5


def test_a_file_that_was_only_moved_or_touched_is_not_converted_again(published, conversions):
    svhn.load("test")
    os.utime(published / "test_32x32.mat", ns=(1, 1))
    assert svhn.load("test").images.shape == (20, 1024)
    assert len(conversions) == 1


def test_each_split_has_a_copy_of_its_own(published, conversions):
    for split in (*svhn.SPLITS, *svhn.SPLITS):
        svhn.load(split)
    assert conversions == ["train_32x32+extra_32x32.grey.npy", "train_32x32.grey.npy", "test_32x32.grey.npy"]


def test_a_folder_may_begin_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(svhn.ENVIRONMENT, "~/svhn")
    assert svhn.folder() == tmp_path / "svhn"
    monkeypatch.setenv(svhn.ENVIRONMENT, "")
    monkeypatch.setenv("XDG_CACHE_HOME", "~/cache")
    assert svhn.folder() == tmp_path / "cache" / "fa_core" / "svhn"


def facts(change):
    def damage(folder):
        note = folder / "test_32x32.grey.json"
        note.write_text(json.dumps(change(json.loads(note.read_text()))))

    return damage


def cut(name, length):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:length])


@pytest.mark.parametrize(
    "damage",
    [
        cut("test_32x32.grey.npy", 0),
        cut("test_32x32.grey.npy", 50),
        cut("test_32x32.grey.npy", -1),
        cut("test_32x32.grey.json", 20),
        lambda folder: (folder / "test_32x32.grey.npy").unlink(),
        lambda folder: (folder / "test_32x32.grey.json").unlink(),
        lambda folder: np.save(folder / "test_32x32.grey.npy", np.zeros((20, 1025))),
        lambda folder: np.save(folder / "test_32x32.grey.npy", np.zeros((19, 1025), np.uint8)),
        lambda folder: np.save(folder / "test_32x32.grey.npy", np.zeros((20, 1025), np.uint8)),
        facts(lambda f: f | {"format": 0}),
        facts(lambda f: f | {"sources": []}),
        facts(lambda f: [1]),
        facts(lambda f: {}),
    ],
)
def test_a_damaged_copy_is_made_anew(published, conversions, damage):
    first = np.array(svhn.load("test").images)
    damage(published)
    assert np.array_equal(svhn.load("test").images, first)
    assert len(conversions) == 2


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_copy_that_cannot_be_written_leaves_nothing_and_says_what_to_do(published, monkeypatch, fault):
    def fail(*_):
        raise OSError(fault, os.strerror(fault))

    monkeypatch.setattr(svhn.os, "replace", fail)
    with pytest.raises(
        DataError,
        match=rf"test_32x32.grey.npy cannot be written \({os.strerror(fault)}\): 0 MB are wanted "
        r"in a folder .*make room, or link the files into one and set FA_CORE_SVHN",
    ):
        svhn.load("test")
    assert sorted(p.name for p in published.iterdir()) == sorted(N)


def test_an_interrupted_conversion_leaves_nothing(published, monkeypatch):
    def interrupted(path):
        yield np.zeros((7, 1025), np.uint8)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(svhn, "pieces", interrupted)
        with pytest.raises(KeyboardInterrupt):
            svhn.load("test")
    assert sorted(p.name for p in published.iterdir()) == sorted(N)
    assert len(svhn.load("test").images) == 20


# ---- the download


class Site(http.server.ThreadingHTTPServer):
    """Serves files with or without ranges; breaks a connection after so many bytes, as often as told."""

    def __init__(self, files):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.ranges, self.breaks, self.status, self.asked, self.sent = files, True, [], [], [], 0
        self.url = f"http://127.0.0.1:{self.server_address[1]}/"

    def handle_error(self, request, client_address):
        """Says nothing: a broken connection is meant."""


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        site, content = self.server, self.server.files.get(self.path.lstrip("/"))
        wanted = self.headers.get("Range")
        site.asked.append((self.path.lstrip("/"), wanted))
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and site.ranges is True else 0
        status = site.status.pop(0) if site.status else 404 if content is None else 206 if wanted and site.ranges else 200
        if status < 400 and start and start >= len(content):
            status = 416
        self.send_response(status)
        if status >= 400:
            self.send_header("Content-Range", f"bytes */{len(content or b'')}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        body = content[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if site.breaks:
            body = body[: site.breaks.pop(0)]
            self.close_connection = True
        site.sent += len(body)  # first, so that it is so when the other side has got them
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def site(published):
    """A site that has the three files; the folder has none."""
    server = Site({name: (published / name).read_bytes() for name in N})
    for name in N:
        (published / name).unlink()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


NAME = "train_32x32.mat"


def fetch(site, names=(NAME,), **options):
    svhn.download(names, site.url, **({"pause": 0, "attempts": 3} | options))


def whole(site, folder, name=NAME) -> bool:
    return (folder / name).read_bytes() == site.files[name] and not (folder / f"{name}.part").exists()


def test_all_files_are_fetched_made_sure_of_and_can_be_loaded(site, folder, capsys, monkeypatch):
    monkeypatch.setenv(svhn.ENVIRONMENT, str(folder / "not" / "there" / "yet"))
    fetch(site, tuple(N))
    assert svhn.present() == tuple(N)
    assert len(svhn.load("train").images) == 80
    assert capsys.readouterr().out.count("fetched, and whole") == 3
    asked = len(site.asked)
    fetch(site, tuple(N))
    assert capsys.readouterr().out.count("there already, and whole") == 3
    assert len(site.asked) == asked


def test_a_connection_that_breaks_is_taken_up_where_it_broke(site, folder):
    site.breaks = [30_000, 0, 10_000]
    fetch(site)
    assert whole(site, folder)
    assert site.asked == [(NAME, None), (NAME, "bytes=30000-"), (NAME, "bytes=30000-"), (NAME, "bytes=40000-")]
    assert site.sent == len(site.files[NAME])  # not a byte twice


def test_a_connection_that_goes_on_breaking_is_given_up_and_what_came_is_kept(site, folder):
    site.breaks = [30_000, 0, 0]
    with pytest.raises(
        DataError,
        match=r"train_32x32.mat: .*broke.*, 3 times in a row, with 30,000 bytes here. With a "
        r"network, run `python -m fa_core.data.svhn download` again: it goes on from there",
    ):
        fetch(site)
    assert not svhn.present()
    fetch(site)
    assert site.asked[-1] == (NAME, "bytes=30000-")
    assert whole(site, folder)


def test_a_site_without_ranges_sends_all_again(site, folder):
    site.ranges = False
    site.breaks = [30_000]
    fetch(site)
    assert site.asked == [(NAME, None), (NAME, "bytes=30000-")]
    assert whole(site, folder)


def test_a_part_that_had_all_already_takes_its_name(site, folder):
    (folder / f"{NAME}.part").write_bytes(site.files[NAME])
    fetch(site)
    assert site.sent == 0
    assert whole(site, folder)


def test_a_part_longer_than_the_file_is_begun_anew(site, folder):
    (folder / f"{NAME}.part").write_bytes(site.files[NAME] + b"more")
    fetch(site)
    assert whole(site, folder)


def test_a_site_that_sends_another_range_than_was_asked_for_is_not_appended(site, folder):
    site.ranges = "from the start"
    site.breaks = [30_000]
    fetch(site)
    assert whole(site, folder)


@pytest.mark.parametrize("begun", [b"", b"other bytes"])
def test_what_has_another_digest_is_thrown_away(site, folder, begun):
    if begun:
        (folder / f"{NAME}.part").write_bytes(begun)
    else:
        site.files[NAME] = site.files[NAME][:-1] + b"!"
    with pytest.raises(
        DataError,
        match=rf"{NAME}: the MD5 of what came is [0-9a-f]{{32}}, wanted {svhn.DIGESTS[NAME]}; "
        r"it was thrown away. Try again",
    ):
        fetch(site)
    assert not list(folder.iterdir())


def test_another_file_of_that_name_is_left_and_refused(site, folder):
    (folder / NAME).write_bytes(b"mine")
    with pytest.raises(DataError, match=rf"{NAME}: its MD5 is .*Take it away and fetch it"):
        fetch(site)
    assert (folder / NAME).read_bytes() == b"mine"


def test_what_the_site_has_not_is_said_at_once(site):
    del site.files[NAME]
    with pytest.raises(
        DataError, match=rf"{NAME}: the site answers 404 Not Found; see http://ufldl.stanford.edu/housenumbers/"
    ):
        fetch(site)
    assert len(site.asked) == 1


def test_a_site_out_of_order_is_asked_again(site, folder):
    site.status = [503, 500]
    fetch(site)
    assert whole(site, folder)
    site.status = [503] * 3
    with pytest.raises(DataError, match="the site answers 503 Service Unavailable, 3 times in a row, with 0 bytes here"):
        fetch(site, ["test_32x32.mat"])


def test_without_a_network_the_error_says_so():
    with pytest.raises(DataError, match=r"Connection refused, 2 times in a row, with 0 bytes here.*by other means"):
        svhn.download((NAME,), "http://127.0.0.1:9/", attempts=2, pause=0)


def test_a_disk_that_is_too_small_is_seen_before_it_is_full(site, folder, monkeypatch):
    site.breaks = [30_000]
    with monkeypatch.context() as patched:
        usage = namedtuple("usage", "total used free")(10**9, 10**9, 40_000)
        patched.setattr(svhn.shutil, "disk_usage", lambda _: usage)
        with pytest.raises(
            DataError,
            match=r"the disk is full \(0 MB to come, 0 MB free\); make room, or move the file to "
            r"another folder and set FA_CORE_SVHN to it, and run .* again: it goes on",
        ):
            fetch(site)
    assert site.sent <= len(site.files[NAME])
    fetch(site)
    assert whole(site, folder)


def test_a_disk_that_fills_keeps_what_came(site, folder, monkeypatch):
    class Full:
        """A bar that is advanced as often as bytes are written, and fails like the disk at the second time."""

        def __init__(self, **_):
            self.times = 0

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def update(self, _):
            self.times += 1
            if self.times == 2:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(svhn, "tqdm", Full)
        with pytest.raises(DataError, match=r"the disk is full \(No space left on device\); make room"):
            fetch(site)
    assert (folder / f"{NAME}.part").stat().st_size > 0
    site.sent = 0
    fetch(site)
    assert site.sent < len(site.files[NAME])
    assert whole(site, folder)


def test_a_folder_that_cannot_be_made_is_said(site, folder, monkeypatch):
    (folder / "file").write_text("in the way")
    monkeypatch.setenv(svhn.ENVIRONMENT, str(folder / "file" / "folder"))
    with pytest.raises(DataError, match=r"cannot be made \(.*\): set FA_CORE_SVHN to another folder"):
        fetch(site)


def test_a_file_that_cannot_be_written_is_said_and_not_tried_again(site, folder):
    (folder / f"{NAME}.part").mkdir()
    with pytest.raises(DataError, match=r"part cannot be written \(Is a directory\): set FA_CORE_SVHN"):
        fetch(site)


def test_an_unknown_file_is_refused():
    with pytest.raises(ValueError, match=r"unknown file 'train'; there are: train_32x32.mat, extra_32x32.mat, test_32x32"):
        svhn.download(("train",))


def test_the_command_line(site, folder, capsys, monkeypatch):
    download = svhn.download
    monkeypatch.setattr(svhn, "download", lambda names: download(names, site.url, pause=0))
    assert svhn.main([]) == 0
    assert "none of 3 files; fetch them with `python -m fa_core.data.svhn download`" in capsys.readouterr().out
    assert svhn.main(["download", NAME]) == 0
    assert svhn.present() == (NAME,)
    assert svhn.main(["download"]) == 0
    assert svhn.main([]) == 0
    assert capsys.readouterr().out.endswith("train_32x32.mat, extra_32x32.mat, test_32x32.mat\n")
    assert svhn.main(["download", "train"]) == 1
    assert "unknown file 'train'" in capsys.readouterr().err
    shutil.rmtree(folder)
    folder.write_text("in the way")
    assert svhn.main(["download"]) == 1
    assert f"FA_CORE_SVHN is {folder}, a file: set it to the folder that holds what is wanted" in capsys.readouterr().err
    assert svhn.main(["upload"]) == 2
    assert "usage: python -m fa_core.data.svhn download [train_32x32.mat|" in capsys.readouterr().err
