"""Load checkpoint files: whole ones, and without running anything in them."""

import logging
import os
import pickle
from pathlib import Path
from zipfile import BadZipFile, ZipFile, is_zipfile

import torch
from mmengine.logging import print_log

from .digests import check_digest
from .storage import is_complete

UNPICKLE = 'MMMAMBAMIXER_UNPICKLE'
"""Variable that allows files to bring more than tensors and plain data."""

PROTOCOLS = (b'\x02', b'\x03', b'\x04', b'\x05')
"""Second byte of a pickle."""


def load_local(filename: str, map_location=None) -> dict:
    """Load a checkpoint file that holds tensors and plain data only.

    Args:
        filename: Path; `~` is expanded.
        map_location: As in `torch.load`.

    `MMMAMBAMIXER_UNPICKLE=1` in the environment lifts that limit, for files whose
    origin is known: their code then runs, as that of any pickle.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, which a digest in it or in its name tells,
            or is no checkpoint, or holds more than tensors and plain data.
    """
    plain = os.environ.get(UNPICKLE) != '1'
    path = Path(filename).expanduser()
    if path.is_dir():
        raise FileNotFoundError(f'{path} is a folder, expected a checkpoint file')
    if not path.is_file():
        raise FileNotFoundError(f'no checkpoint at {path}')
    if path.stat().st_size == 0:
        raise ValueError(f'{path} is not a readable checkpoint, it is empty')
    check_digest(path)
    complete = is_complete(path)
    if complete is None and is_zipfile(path):  # no digest of ours: the archive's sums
        complete = sums_agree(path)
    if complete is False:
        raise ValueError(
            f'{path} is not a readable checkpoint, it is damaged: its bytes are '
            'not those that were written'
        )
    if not plain:
        print_log(f'{UNPICKLE}=1: {path} may run code', level=logging.WARNING)
    try:
        checkpoint = torch.load(path, map_location=map_location, weights_only=plain)
    except pickle.UnpicklingError as error:
        if not looks_pickled(path):
            raise ValueError(no_checkpoint(path)) from error
        raise ValueError(
            f'{path} is refused: a checkpoint may hold tensors and plain data '
            f'only, this one asks for more or is damaged ({_reason(error)}); if you '
            f'trust whoever wrote it, set {UNPICKLE}=1, and the code in it runs'
        ) from error
    except Exception as error:  # torch raises many kinds for files that are none
        raise ValueError(f'{no_checkpoint(path)} ({_reason(error)})') from error
    if not isinstance(checkpoint, dict):
        raise ValueError(
            f'{path} is no checkpoint: expected a dict, it holds a '
            f'{type(checkpoint).__name__}'
        )
    return checkpoint


def sums_agree(path: Path) -> bool:
    """Return whether the parts of an archive have the checksums that it lists.

    torch does not look at them, and loads what a flipped bit has made of a weight.
    """
    try:
        with ZipFile(path) as archive:
            return archive.testzip() is None
    except (BadZipFile, OSError, EOFError, NotImplementedError):
        return False


def looks_pickled(path: Path) -> bool:
    """Return whether a file begins as a zip archive or a pickle does."""
    with open(path, 'rb') as file:
        start = file.read(2)
    return start == b'PK' or (start[:1] == b'\x80' and start[1:] in PROTOCOLS)


def no_checkpoint(path: Path) -> str:
    """Return the sentence for a file that is none of torch's."""
    size = path.stat().st_size
    with open(path, 'rb') as file:
        start = file.read(8)
    return (
        f'{path} is not a readable checkpoint, it is cut off or of another format: '
        f'{size} bytes that begin with {start!r}'
    )


def _reason(error: Exception) -> str:
    # torch explains at length; the line that names the object is what matters here.
    lines = str(error).strip().splitlines() or [type(error).__name__]
    named = [line for line in lines if 'Unsupported' in line or 'GLOBAL' in line]
    return (named or lines)[0].strip()[:160]
