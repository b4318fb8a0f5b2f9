"""Load checkpoint files: whole ones, and without running anything in them."""

import logging
import pickle
from os import PathLike
from pathlib import Path
from zipfile import BadZipFile, ZipFile, is_zipfile

import torch
from mmengine.logging import print_log
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from .digests import check_digest
from .meta import KEY, meta_from_text
from .storage import is_complete
from .trust import UNPICKLE, UnsafeTorch, reads_safely, risk, trusts_all

PROTOCOLS = (b'\x02', b'\x03', b'\x04', b'\x05')
"""Second byte of a pickle."""


def load_local(filename: str | PathLike, map_location=None) -> dict:
    """Load a checkpoint file that holds tensors and plain data only.

    Args:
        filename: Path; `~` is expanded. `.safetensors` is read as weights, with `meta`
            where `tools/convert_checkpoint.py` wrote it, any other as a file of
            `torch.save`.
        map_location: As in `torch.load`; a function of it is not called for
            safetensors, whose tensors then lie on the CPU.

    `MMMAMBAMIXER_UNPICKLE=1` in the environment lifts that limit, for files whose
    origin is known: their code then runs, as that of any pickle. Without it, torch
    before 2.10 reads safetensors only.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, which a digest in it or in its name tells,
            or is no checkpoint, or holds more than tensors and plain data;
            `UnsafeTorch`, which is one, if this torch cannot tell that.
    """
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
    if path.suffix == '.safetensors':
        return read_safetensors(path, map_location)
    checkpoint = unpickle(path, map_location)
    if not isinstance(checkpoint, dict):
        raise ValueError(
            f'{path} is no checkpoint: expected a dict, it holds a '
            f'{type(checkpoint).__name__}'
        )
    return checkpoint


def read_safetensors(path: Path, map_location=None) -> dict:
    """Return `state_dict` of a safetensors file, which cannot bring code, and `meta`.

    Raises:
        ValueError: If it is damaged or of another format.
    """
    device = map_location if isinstance(map_location, str | torch.device) else 'cpu'
    try:
        state = load_file(path, device=str(device))
        with safe_open(path, 'pt') as file:
            text = (file.metadata() or {}).get(KEY)
    except SafetensorError as error:
        raise ValueError(f'{no_checkpoint(path)} ({_reason(error)})') from error
    if text is None:
        return dict(state_dict=state)
    try:
        return dict(meta=meta_from_text(text), state_dict=state)
    except Exception as error:  # whatever else may stand there
        raise ValueError(
            f'{path} is not a readable checkpoint: its metadata {KEY} is not what '
            f'tools/convert_checkpoint.py writes ({_reason(error)})'
        ) from error


def unpickle(path: Path, map_location=None) -> object:
    """Return what a file of `torch.save` holds: tensors and plain data, or it raises.

    Raises:
        ValueError: As `load_local`.
    """
    if trusts_all():
        print_log(f'{UNPICKLE}=1: {path} may run code', level=logging.WARNING)
    elif not reads_safely():
        raise UnsafeTorch(
            f'{path} is refused: this is torch {torch.__version__}, where {risk()}; '
            'install torch 2.10 or later, or give weights as .safetensors, or, if you '
            f'trust whoever wrote it, set {UNPICKLE}=1, and the code in it runs'
        )
    try:
        return torch.load(
            path, map_location=map_location, weights_only=not trusts_all()
        )
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
    """Return the sentence for a file that is none of these formats."""
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
