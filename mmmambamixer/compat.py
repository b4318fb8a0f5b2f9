"""What our tools and configs change in MMEngine, and nobody else's runs do.

Imported by `tools/` and by `configs/_base_/mmmambamixer.py` only:

- `_base_ = 'mmdet::...'` is resolved by where the module lies, on every MMEngine
  (stock releases ask `pkg_resources`, later ones look into the wrong folder);
- checkpoints are loaded with `weights_only=True`, whatever their address, so that
  a file can bring tensors but no code;
- `PlainCheckpointRunner` is registered, whose checkpoints load that way.
"""

import functools
import os
import pickle
from importlib.util import find_spec

import mmengine.config.config as mmengine_config
import mmengine.runner.checkpoint as mmengine_checkpoint
import torch
from mmengine.config.utils import MODULE2PACKAGE

from .engine import PlainCheckpointRunner
from .engine.storage import is_complete

__all__ = ['PlainCheckpointRunner', 'load_local', 'package_folder']

PACKAGE2MODULE = {package: module for module, package in MODULE2PACKAGE.items()}


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
        ValueError: If the file is damaged, which a digest in it tells, or holds more
            than tensors and plain data.
    """
    filename = os.path.expanduser(filename)
    if not os.path.isfile(filename):
        raise FileNotFoundError(f'no checkpoint at {filename}')
    if is_complete(filename) is False:
        raise ValueError(
            f'{filename} is not a readable checkpoint, it is damaged: its bytes are '
            'not those that were written'
        )
    try:
        return torch.load(filename, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f'{filename} is refused: a checkpoint may hold tensors and plain data '
            f'only, this one asks for more or is damaged ({_reason(error)}); if you '
            f"trust it, save its 'state_dict' alone to a new file and use that"
        ) from error
    except (OSError, RuntimeError, EOFError) as error:
        raise ValueError(
            f'{filename} is not a readable checkpoint, it is cut off or of another '
            f'format ({_reason(error)})'
        ) from error


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
    # For http://, torchvision://, openmmlab:// and, in the onedl family, the rest.
    for loader in ('load_url', '_safe_torch_load'):
        if hasattr(mmengine_checkpoint, loader):
            stock = getattr(mmengine_checkpoint, loader)
            setattr(
                mmengine_checkpoint, loader, functools.partial(stock, weights_only=True)
            )


_install()
