"""Processes side by side that end when this one does, however that ends."""

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection

from tqdm import tqdm


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
