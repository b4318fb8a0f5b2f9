"""The SHA-256 that a file of weights should have, by its name or the model index.

OpenMMLab and torchvision end the names of published weights with the first digits of
it, `resnet18-f37072fd.pth`. A model of our index that has `Weights` may have the whole
as `SHA256` in its `Metadata`.
"""

import re
from pathlib import Path

import yaml

from .storage import sha256_of

INDEX = Path(__file__).parents[1] / '.mim' / 'model-index.yml'
IN_NAME = re.compile(r'-([0-9a-f]{8,64})\.\w+$')
DATE = re.compile(r'(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])')
"""Eight digits of a name that are a day, and no digest."""


def check_digest(path: Path, index: Path = INDEX) -> None:
    """Raise unless a file has the SHA-256 that its name and the index promise, if any.

    Args:
        path: The file.
        index: A `model-index.yml`; where it is missing nothing is promised.

    Raises:
        ValueError: Names what was promised, and by whom, and what came.
    """
    promises = {'its name': in_name(path.name), 'the model index': listed(path, index)}
    for source, promised in promises.items():
        if not promised:
            continue
        found = sha256_of(path, path.stat().st_size)
        if not found.startswith(promised):
            raise ValueError(
                f'{path} is refused: {source} promises a SHA-256 that begins with '
                f'{promised[:8]}, but it begins with {found[:8]}; the file is damaged '
                'or another one: fetch it again, or rename it if it is yours'
            )


def in_name(name: str) -> str | None:
    """Return the first digits of the SHA-256 that a file's name ends with, if any."""
    match = IN_NAME.search(name)
    return None if match is None or DATE.fullmatch(match[1]) else match[1]


def listed(path: Path, index: Path) -> str | None:
    """Return the SHA-256 that the index has for weights of this file's name, if any."""
    if not index.is_file():
        return None
    for page in yaml.safe_load(index.read_text())['Import']:
        for model in yaml.safe_load((index.parent / page).read_text())['Models']:
            if (model.get('Weights') or '').rpartition('/')[2] == path.name:
                return model['Metadata'].get('SHA256')
    return None
