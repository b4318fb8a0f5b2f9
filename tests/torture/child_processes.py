"""Processes that a training starts, and how a signal ends them."""

import multiprocessing
import os
import signal
import time

import numpy as np

LIFE = 20
"""Seconds after which a process counts as one that does not end."""


def sleep() -> None:
    time.sleep(LIFE)


def compute() -> None:
    while True:
        np.ones((99, 99)) @ np.ones((99, 99))


def wait_for_lock() -> None:
    lock = multiprocessing.Lock()
    lock.acquire()
    lock.acquire()


def start_another() -> None:
    child = multiprocessing.Process(target=sleep, daemon=True)
    child.start()
    child.join()


WORK = (sleep, compute, wait_for_lock, start_another)


def end_of(work, number: signal.Signals) -> int | None:
    """Return the exit code of a child that gets a signal; None if it lives on."""
    child = multiprocessing.Process(target=work)
    child.start()
    time.sleep(0.2)
    os.kill(child.pid, number)
    child.join(LIFE / 2)
    code = child.exitcode
    child.kill()
    return code


def pool_ends() -> bool:
    """Return whether a pool of processes ends at once."""
    begun = time.monotonic()
    with multiprocessing.Pool(2) as pool:
        pool.map(abs, range(3))
    return time.monotonic() - begun < LIFE / 2
