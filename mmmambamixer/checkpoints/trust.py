"""Which files this torch reads without running what is in them."""

import os

import torch

UNPICKLE = 'MMMAMBAMIXER_UNPICKLE'
"""Variable that allows files to bring more than tensors and plain data."""

SAFE_TORCH = (2, 10)
"""From here on `torch.load(weights_only=True)` runs no code that a file brings."""


class UnsafeTorch(ValueError):
    """A file that may be well is refused, as this torch would run what is in it."""


def trusts_all() -> bool:
    """Return whether the environment allows files to run code."""
    return os.environ.get(UNPICKLE) == '1'


def reads_safely() -> bool:
    """Return whether this torch keeps the promise of `weights_only=True`."""
    return tuple(map(int, torch.__version__.split('.')[:2])) >= SAFE_TORCH


def risk() -> str:
    """Return what a checkpoint can do to this torch, '' if nothing."""
    if reads_safely():
        return ''
    return (
        'a crafted checkpoint can run code although it is read as plain data: '
        'CVE-2026-24747, fixed in 2.10, as was CVE-2025-32434 in 2.6'
    )
