"""The SHA-256 that a file of weights should have, by its name.

OpenMMLab and torchvision end the names of published weights with the first digits of
it, `resnet18-f37072fd.pth`.
"""

import re
from pathlib import Path

from .storage import sha256_of

IN_NAME = re.compile(r'-([0-9a-f]{8,64})\.\w+$')
DATE = re.compile(r'(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])')
"""Eight digits of a name that are a day, and no digest."""


def check_digest(path: Path) -> None:
    """Raise unless a file has the SHA-256 that its name promises, if any.

    Raises:
        ValueError: Names what was promised and what came.
    """
    promised = in_name(path.name)
    if promised is None:
        return
    found = sha256_of(path, path.stat().st_size)
    if not found.startswith(promised):
        raise ValueError(
            f'{path} is refused: by its name its SHA-256 begins with {promised[:8]}, '
            f'but it begins with {found[:8]}; the file is damaged or another one: '
            'download it again, or rename it if it is your own'
        )


def in_name(name: str) -> str | None:
    """Return the first digits of the SHA-256 that a file's name ends with, if any."""
    match = IN_NAME.search(name)
    return None if match is None or DATE.fullmatch(match[1]) else match[1]
