"""The digest of a checkpoint, computed while it is written."""

import hashlib
from typing import BinaryIO

END = 22
"""Bytes of a zip archive's last record without a comment; its last two are the
comment's length."""

MARK = b'sha256:'
COMMENT = len(MARK) + 64


class Sealing:
    """A file for `torch.save` that gives the archive its digest as a comment.

    The end of the `with` block writes the digest.

    Args:
        file: Where the bytes go, from its beginning.

    Raises:
        OSError: At the end of the `with` block, where the file could not be written:
            an error in the middle of `torch.save` would come out as one of torch's own.
        ValueError: There too, if the bytes are no zip archive without a comment.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.error = file, None
        self.digest, self.end = hashlib.sha256(), b''  # an archive's end must change

    def write(self, data: bytes | memoryview) -> int:
        """Take some bytes, which may change as soon as this returns."""
        new = memoryview(data).cast('B')
        gone = max(0, len(self.end) + min(len(new), END) - END)
        self._pass_on(self.end[:gone])
        self._pass_on(new[:-END])
        self.end = self.end[gone:] + bytes(new[-END:])
        return len(new)

    def flush(self) -> None:
        """Do nothing: `torch.save` asks for it, and the end is still to come."""

    def __enter__(self) -> 'Sealing':
        return self

    def __exit__(self, kind: type | None, *_) -> None:
        if kind is not None:
            return
        if self.end[:4] != b'PK\x05\x06' or self.end[-2:] != b'\0\0':
            raise ValueError('only what torch.save writes can get a digest')
        self._pass_on(self.end[:-2] + COMMENT.to_bytes(2, 'little'))
        self._write(MARK + self.digest.hexdigest().encode())
        if self.error:
            raise self.error

    def _pass_on(self, data: bytes | memoryview) -> None:
        self.digest.update(data)
        self._write(data)

    def _write(self, data: bytes | memoryview) -> None:
        if self.error is None:
            try:
                self.file.write(data)
            except OSError as error:
                self.error = error
