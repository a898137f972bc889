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
    file, other = tmp_path / "a.txt", tmp_path / ".b.txt.0123"
    killed_while_writing(file)
    (left,) = tmp_path.iterdir()
    assert left.read_bytes() == b"half"
    files.write(file, lambda out: out.write(b"whole"))
    assert left.exists(), "it may be at work"
    os.utime(left, (time.time() - 7200,) * 2)
    other.touch()
    os.utime(other, (time.time() - 7200,) * 2)
    files.write(file, lambda out: out.write(b"again"))
    assert sorted(os.listdir(tmp_path)) == [".b.txt.0123", "a.txt"]


def test_a_record_that_is_made_leaves_nothing_of_writers_that_were_killed(tmp_path, monkeypatch):
    monkeypatch.setenv(records.ENVIRONMENT, str(tmp_path))
    experiment = linear_experiment()
    file = records.path(experiment)
    for target in (file, records.checkpoint(file)):
        killed_while_writing(target)
    assert len(os.listdir(tmp_path)) == 2
    records.record(experiment, device="cpu")
    assert os.listdir(tmp_path) == [file.name]
