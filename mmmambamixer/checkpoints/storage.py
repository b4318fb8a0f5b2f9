"""Checkpoint files that are there whole or not at all, and say when they are damaged.

A file of `torch.save` is a zip archive; ours carries the SHA-256 of its own bytes as
the comment of that archive, so every reader of such files still reads it.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from mmengine.fileio import LocalBackend, register_backend

from .seal import BLOCK, COMMENT, END, MARK, Sealing

SEALED = 'mmmambamixer.SealedBackend'
"""Name of the storage in `backend_args=dict(backend=...)`."""


def is_complete(path: str | os.PathLike) -> bool | None:
    """Return whether the bytes of a file are those that were written.

    Returns:
        None if the file has no digest, as stock checkpoints have none.
    """
    size = os.path.getsize(path)
    with open(path, 'rb') as file:
        file.seek(max(0, size - COMMENT - END))
        tail = file.read()
        comment = tail[-COMMENT:]
        if not re.fullmatch(MARK + rb'[0-9a-f]{64}', comment):
            file.seek(0)
            whole = tail[-END:][:4] == b'PK\x05\x06'  # ends as one without a comment
            old = size and file.read(2) != b'PK'  # no archive: older than torch 1.6
            return None if whole or old else False
    return comment[len(MARK) :].decode() == sha256_of(path, size - COMMENT)


def sha256_of(path: str | os.PathLike, size: int) -> str:
    """Return the SHA-256 of the first bytes of a file, 64 hex digits.

    Args:
        path: The file.
        size: How many bytes.
    """
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(min(BLOCK, size)):
            digest.update(block)
            size -= len(block)
    return digest.hexdigest()


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Replace a file in one step: after a crash it is the old one or the new one.

    Args:
        path: The file; its folder is made where it is missing.

    Returns:
        The new file, to be written in the `with` block.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f'.{path.name}.unfinished')
    try:
        with open(unfinished, 'wb') as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_file(path: str | os.PathLike, data: bytes) -> None:
    """Replace a file as `replacing` does."""
    with replacing(path) as file:
        file.write(data)


def write_sealed(path: str | os.PathLike, save: Callable[[Sealing], Any]) -> None:
    """Replace a checkpoint by one with its digest, or leave it as it is.

    Args:
        path: As in `replacing`.
        save: Writes the archive, as `torch.save` does, into the file it is given.

    Raises:
        OSError: If the file cannot be written.
        ValueError: If it writes no zip archive without a comment.
    """
    with replacing(path) as file, Sealing(file) as sealing:
        save(sealing)


class SealedBackend(LocalBackend):
    """MMEngine's local storage, with whole files and a digest in checkpoints."""

    def put(self, obj: bytes, filepath: str | os.PathLike) -> None:
        """Write a checkpoint with its digest, or not at all."""
        write_sealed(filepath, lambda file: file.write(obj))


register_backend(SEALED, SealedBackend, force=True)
