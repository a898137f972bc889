"""One at a time, by a lock file."""

import threading

import pytest

from fa_core import processes


def test_one_at_a_time_and_who_waits_comes_in(tmp_path):
    lock, inside, counts, failed = tmp_path / "a.lock", [], [], []

    def work():
        try:
            for _ in range(400):
                with processes.alone(lock, wait=True):
                    inside.append(None)
                    counts.append(len(inside))
                    inside.pop()
        except Exception as error:
            failed.append(error)

    workers = [threading.Thread(target=work) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failed
    assert counts == [1] * 2400
    assert not lock.exists()


def test_who_does_not_wait_is_told_who_is_at_it(tmp_path):
    lock = tmp_path / "a.lock"
    with processes.alone(lock), pytest.raises(processes.Busy, match=r"process \d+ on"), processes.alone(lock):
        pass
