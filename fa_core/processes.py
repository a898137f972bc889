"""Processes side by side: those that end when this one does, however that ends; and one at a time."""

import os
import platform
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from tqdm import tqdm

from fa_core.provenance import now


class Busy(Exception):
    """Another process is at it; says which."""


@contextmanager
def alone(file: Path, wait: bool = False) -> Iterator[None]:
    """No other process is in the block of this lock file meanwhile. Raises Busy with who is, or waits.

    The lock is the kernel's, and goes with the process that holds it, however that ends.
    """
    try:
        import fcntl
    except ImportError:  # Windows: nothing to lock with
        yield
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with open(file, "a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                lock.seek(0)
                raise Busy(lock.read() or "another process") from None
            there = False
            with suppress(FileNotFoundError):
                there = os.path.samestat(os.fstat(lock.fileno()), file.stat())
            if not there:
                continue  # who had it ended, and removed it, after this process had opened it
            lock.truncate(0)
            lock.write(f"process {os.getpid()} on {platform.node()} since {now()}")
            lock.flush()
            try:
                yield
            finally:
                file.unlink(missing_ok=True)
            return


@contextmanager
def pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """So many processes, each with an interpreter of its own. Where the block is left by an exception, or this process is
    killed, they are ended at once; Ctrl-C is for this process alone."""
    context = get_context("spawn")
    theirs, ours = context.Pipe(duplex=False)
    with theirs, ours, ProcessPoolExecutor(jobs, context, _tied, (theirs,)) as executor:
        try:
            yield executor
        except BaseException:
            ours.close()  # what they wait for
            executor.shutdown(cancel_futures=True)
            raise


def _tied(parent: Connection) -> None:
    """End this process once nobody holds the other end: the kernel closes it for whoever is killed."""

    def wait() -> None:
        parent.poll(None)
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tqdm.set_lock(threading.RLock())  # its own is the system's, and would stay behind
    threading.Thread(target=wait, daemon=True).start()
