"""Checkpoint files that are there whole or not at all, and say when they are damaged.

A file of `torch.save` is a zip archive; ours carries the SHA-256 of its own bytes as
the comment of that archive, so every reader of such files still reads it.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend

END = 22
"""Bytes of a zip archive's last record without a comment; its last two are the
comment's length."""

MARK = b'sha256:'
COMMENT = len(MARK) + 64
BLOCK = 1 << 20

SEALED = 'mmmambamixer.SealedBackend'
"""Name of the storage in `backend_args=dict(backend=...)`."""


def seal(data: bytes) -> Iterator[bytes]:
    """Yield the bytes of an archive without its end, then its end with a digest.

    The digest is computed while the caller writes.

    Raises:
        ValueError: If `data` is no zip archive without a comment.
    """
    if data[-END:][:4] != b'PK\x05\x06' or data[-2:] != b'\0\0':
        raise ValueError('only what torch.save writes can get a digest')
    body, length = memoryview(data)[:-2], COMMENT.to_bytes(2, 'little')
    with ThreadPoolExecutor(1) as pool:
        digest = pool.submit(hashlib.sha256, body)
        yield body
        digest = digest.result()
    digest.update(length)
    yield length + MARK + digest.hexdigest().encode()


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


def write_file(path: str | os.PathLike, parts: Iterable[bytes]) -> None:
    """Replace a file in one step: after a crash it is the old one or the new one.

    Args:
        path: The file; its folder is made where it is missing.
        parts: Its bytes, one after the other.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f'.{path.name}.unfinished')
    try:
        with open(unfinished, 'wb') as file:
            for part in parts:
                file.write(part)
                file.flush()
                os.fsync(file.fileno())
        os.replace(unfinished, path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class SealedBackend(LocalBackend):
    """MMEngine's local storage, with whole files and a digest in checkpoints."""

    def put(self, obj: bytes, filepath: str | os.PathLike) -> None:
        """Write a checkpoint with its digest, or not at all."""
        write_file(filepath, seal(obj))


register_backend(SEALED, SealedBackend, force=True)
