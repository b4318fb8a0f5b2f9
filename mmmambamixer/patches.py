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
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlparse

import mmengine.config.config as mmengine_config
import mmengine.runner.checkpoint as mmengine_checkpoint
import torch
from mmengine.config.utils import MODULE2PACKAGE

from .checkpoints.load import load_local
from .engine import SafeRunner

__all__ = ['SafeRunner', 'load_local', 'package_folder']

PACKAGE2MODULE = {package: module for module, package in MODULE2PACKAGE.items()}


def package_folder(package: str) -> str | None:
    """Return the folder of an importable distribution, or None if there is none.

    Args:
        package: Name of a distribution (`mmsegmentation`) or of a module (`mmseg`).
    """
    spec = find_spec(PACKAGE2MODULE.get(package, package))
    return os.path.dirname(spec.origin) if spec and spec.origin else None


def load_url(address: str, model_dir: str | None = None, map_location=None, **_):
    """Load a checkpoint from the web, once; then from where it was saved.

    Args:
        address: URL.
        model_dir: Folder to save it in; that of `torch.hub` by default.
        map_location: As in `torch.load`.

    Raises:
        FileNotFoundError: If it cannot be fetched.
        ValueError: As `load_local`.
    """
    folder = Path(model_dir or Path(torch.hub.get_dir()) / 'checkpoints')
    path = folder / Path(urlparse(address).path).name
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(address, str(path), progress=False)
        except OSError as error:
            raise FileNotFoundError(f'{address} cannot be fetched: {error}') from error
    return load_local(path, map_location)


PATCHED = (
    (mmengine_config, ('is_installed', 'get_installed_path')),
    (mmengine_checkpoint, ('load_url', '_safe_torch_load')),
    (mmengine_checkpoint.CheckpointLoader, ('_schemes',)),
)
"""Where MMEngine is changed."""
STOCK = [
    (owner, name, getattr(owner, name))
    for owner, names in PATCHED
    for name in names
    if hasattr(owner, name)
]


def install() -> None:
    """Change MMEngine."""
    is_installed = mmengine_config.is_installed
    get_installed_path = mmengine_config.get_installed_path
    mmengine_config.is_installed = lambda package: (
        package_folder(package) is not None or is_installed(package)
    )
    mmengine_config.get_installed_path = lambda package: (
        package_folder(package) or get_installed_path(package)
    )

    loader = mmengine_checkpoint.CheckpointLoader
    loader._schemes = dict(loader._schemes)
    loader.register_scheme(prefixes='', loader=load_local, force=True)
    # For http://, torchvision:// and openmmlab://; in the onedl family for the rest.
    mmengine_checkpoint.load_url = load_url
    if hasattr(mmengine_checkpoint, '_safe_torch_load'):
        mmengine_checkpoint._safe_torch_load = functools.partial(
            mmengine_checkpoint._safe_torch_load, weights_only=True
        )


def remove() -> None:
    """Make MMEngine what it was."""
    for owner, name, value in STOCK:
        setattr(owner, name, value)


install()
