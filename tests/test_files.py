"""Files that are there wholly or not at all, and what killed writers leave."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from fa_core import files, records
from tests.helpers import linear_experiment


def test_a_file_is_written_wholly_or_stays_as_it_was(tmp_path):
    file = tmp_path / "a.txt"
    files.write(file, lambda out: out.write(b"first"))

    def fail(out):
        out.write(b"sec")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        files.write(file, fail)
    assert file.read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_two_who_write_a_file_at_once_do_not_write_into_one_another(tmp_path):
    file, together = tmp_path / "a.txt", threading.Barrier(2, timeout=30)

    def write(letter):
        def put(out):
            out.write(letter)
            out.flush()
            together.wait()  # both are in the midst of it
            out.write(letter)

        files.write(file, put)

    writers = [threading.Thread(target=write, args=(letter,)) for letter in (b"a", b"b")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(timeout=60)
    assert file.read_bytes() in (b"aa", b"bb")
    assert os.listdir(tmp_path) == ["a.txt"]


def killed_while_writing(file):
    program = textwrap.dedent(f"""
        import os, signal
        from pathlib import Path
        from fa_core import files
        files.write(Path({str(file)!r}), lambda out: (out.write(b"half"), out.flush(), os.kill(os.getpid(), signal.SIGKILL)))
    """)
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGKILL


def test_what_a_killed_writer_left_goes_with_a_later_write_and_that_of_one_at_work_does_not(tmp_path):
    file, *others = (tmp_path / name for name in ("a.txt", f".b.txt.{16 * '0'}", ".a.txt.swp"))  # the last one an editor's
    killed_while_writing(file)
    (left,) = tmp_path.iterdir()
    assert left.read_bytes() == b"half"
    files.write(file, lambda out: out.write(b"whole"))
    assert left.exists(), "it may be at work"
    os.utime(left, (time.time() - 7200,) * 2)
    for other in others:
        other.touch()
        os.utime(other, (time.time() - 7200,) * 2)
    files.write(file, lambda out: out.write(b"again"))
    assert set(tmp_path.iterdir()) == {file, *others}


def test_a_record_that_is_made_leaves_nothing_of_writers_that_were_killed(tmp_path, monkeypatch):
    monkeypatch.setenv(records.ENVIRONMENT, str(tmp_path))
    experiment = linear_experiment()
    file = records.path(experiment)
    for target in (file, records.checkpoint(file)):
        killed_while_writing(target)
    assert len(os.listdir(tmp_path)) == 2
    records.record(experiment, device="cpu")
    assert os.listdir(tmp_path) == [file.name]


def test_a_copy_is_believed_as_long_as_its_source_is_the_same_to_the_byte_and_is_then_not_read_again(tmp_path, monkeypatch):
    source, made, read = tmp_path / "a.txt", tmp_path / "a.npy", []
    source.write_bytes(b"one")
    made.write_bytes(b"ONE")
    files.note(made, [files.stated(source) | {"md5": files.digest(source)}], kind="upper")
    digest = files.digest
    monkeypatch.setattr(files, "digest", lambda path: (read.append(path.name), digest(path))[1])
    assert files.noted(made, [source])["kind"] == "upper"
    assert read == []
    stat = source.stat()
    for attempt in range(2):  # copied to elsewhere, say
        source.with_name("b").write_bytes(b"one")
        os.replace(source.with_name("b"), source)
        os.utime(source, ns=(stat.st_atime_ns, stat.st_mtime_ns + attempt))
        for _ in range(3):
            assert files.noted(made, [source])["kind"] == "upper"
        assert read == ["a.txt"] * (attempt + 1)
    source.write_bytes(b"two")
    os.utime(source, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert files.noted(made, [source]) is None
    source.write_bytes(b"one")
    made.write_bytes(b"TWO")
    os.utime(made, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert files.noted(made, [source]) is None


def test_a_note_that_cannot_be_renewed_counts_all_the_same(tmp_path, monkeypatch):
    source, made = tmp_path / "a.txt", tmp_path / "a.npy"
    source.write_bytes(b"one")
    made.write_bytes(b"ONE")
    files.note(made, [files.stated(source) | {"md5": files.digest(source)}])
    os.utime(source, ns=(1, 1))

    def full(*_):
        raise OSError("disk full")

    monkeypatch.setattr(files, "write", full)
    assert files.noted(made, [source])
