"""What our tools and configs change in MMEngine, and nobody else's runs do.

Imported by `tools/` and by `configs/_base_/mmmambamixer.py` only:

- `_base_ = 'mmdet::...'` is resolved by where the module lies, on every MMEngine
  (stock releases ask `pkg_resources`, later ones look into the wrong folder);
- checkpoints are loaded with `weights_only=True`, whatever their address, so that
  a file can bring tensors but no code; if it carries a digest, in its name or
  inside, that must be its own;
- `SafeRunner` is registered, whose checkpoints load that way.
"""

import functools
import os
import pickle
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlparse
from zipfile import BadZipFile, ZipFile, is_zipfile

import mmengine.config.config as mmengine_config
import mmengine.runner.checkpoint as mmengine_checkpoint
import torch
from mmengine.config.utils import MODULE2PACKAGE

from .engine import SafeRunner
from .engine.digests import check_digest
from .engine.storage import is_complete

__all__ = ['SafeRunner', 'load_local', 'package_folder']

PACKAGE2MODULE = {package: module for module, package in MODULE2PACKAGE.items()}

PROTOCOLS = (b'\x02', b'\x03', b'\x04', b'\x05')
"""Second byte of a pickle."""


def package_folder(package: str) -> str | None:
    """Return the folder of an importable distribution, or None if there is none.

    Args:
        package: Name of a distribution (`mmsegmentation`) or of a module (`mmseg`).
    """
    spec = find_spec(PACKAGE2MODULE.get(package, package))
    return os.path.dirname(spec.origin) if spec and spec.origin else None


def load_local(filename: str, map_location=None) -> dict:
    """Load a checkpoint file that holds tensors and plain data only.

    Args:
        filename: Path; `~` is expanded.
        map_location: As in `torch.load`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, which a digest in it or in its name tells,
            or is no checkpoint, or holds more than tensors and plain data.
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
    try:
        checkpoint = torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        if not looks_pickled(path):
            raise ValueError(no_checkpoint(path)) from error
        raise ValueError(
            f'{path} is refused: a checkpoint may hold tensors and plain data '
            f'only, this one asks for more or is damaged ({_reason(error)}); if you '
            f"trust it, save its 'state_dict' alone to a new file and use that"
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


def load_url(address: str, model_dir: str | None = None, map_location=None, **_):
    """Load a checkpoint from the web, once; then from where it was saved.

    Args:
        address: URL.
        model_dir: Folder to save it in; that of `torch.hub` by default.
        map_location: As in `torch.load`.

    Raises:
        FileNotFoundError: If it can not be fetched.
        ValueError: As `load_local`.
    """
    folder = Path(model_dir or Path(torch.hub.get_dir()) / 'checkpoints')
    path = folder / Path(urlparse(address).path).name
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(address, str(path), progress=False)
        except OSError as error:
            raise FileNotFoundError(f'{address} can not be fetched: {error}') from error
    return load_local(path, map_location)


def _reason(error: Exception) -> str:
    # torch explains at length; the line that names the object is what matters here.
    lines = str(error).strip().splitlines() or [type(error).__name__]
    named = [line for line in lines if 'Unsupported' in line or 'GLOBAL' in line]
    return (named or lines)[0].strip()[:160]


def _install() -> None:
    is_installed = mmengine_config.is_installed
    get_installed_path = mmengine_config.get_installed_path
    mmengine_config.is_installed = lambda package: (
        package_folder(package) is not None or is_installed(package)
    )
    mmengine_config.get_installed_path = lambda package: (
        package_folder(package) or get_installed_path(package)
    )

    mmengine_checkpoint.CheckpointLoader.register_scheme(
        prefixes='', loader=load_local, force=True
    )
    # For http://, torchvision:// and openmmlab://; in the onedl family for the rest.
    mmengine_checkpoint.load_url = load_url
    if hasattr(mmengine_checkpoint, '_safe_torch_load'):
        mmengine_checkpoint._safe_torch_load = functools.partial(
            mmengine_checkpoint._safe_torch_load, weights_only=True
        )


_install()
