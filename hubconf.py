"""ViM2 for `torch.hub.load`: classifiers, and the backbone with its maps.

    torch.hub.load('OWNER/mmmambamixer', 'vim2_tiny', num_classes=10)

needs torch, MMEngine, numpy and safetensors. Where the package is installed, that one
runs, with its compiled kernels. Else the checkout itself does: with the same kernels on
a GPU, and with the slow reference on a CPU, which it says.
"""

import importlib.util
import pathlib
import runpy
import sys
import warnings

dependencies = ['torch', 'mmengine', 'numpy', 'safetensors']
ROOT = pathlib.Path(__file__).absolute().parent


class _OpsOfCheckout:
    """Finds the folder `ops/` as `mmmambamixer.ops`, which it is once installed."""

    @staticmethod
    def find_spec(name: str, path=None, target=None):
        if name != 'mmmambamixer.ops':
            return None
        file = ROOT / 'ops' / '__init__.py'
        return importlib.util.spec_from_file_location(name, file)


def _import_package() -> None:
    """Import `mmmambamixer` as it is installed, or else that of this checkout."""
    path, here = sys.path[:], ROOT.resolve()
    sys.path[:] = [place for place in path if pathlib.Path(place).resolve() != here]
    try:
        import mmmambamixer
    except ModuleNotFoundError as error:
        if error.name != 'mmmambamixer':
            raise
        sys.meta_path.append(_OpsOfCheckout)
        sys.path.append(str(ROOT))
        import mmmambamixer
    finally:
        sys.path[:] = path
    version = runpy.run_path(str(ROOT / 'mmmambamixer' / 'version.py'))['__version__']
    if mmmambamixer.__version__ != version:
        warnings.warn(
            f'mmmambamixer {mmmambamixer.__version__} is installed and runs, not the '
            f'{version} of {ROOT}: install that one, or uninstall yours',
            stacklevel=2,
        )


_import_package()

from mmmambamixer.hub import (  # noqa: E402, F401  once it is clear which one
    vim2_backbone,
    vim2_base,
    vim2_small,
    vim2_tiny,
)
