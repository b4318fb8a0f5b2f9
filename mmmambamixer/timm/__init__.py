"""ViM2 for timm: importing this registers `vim2_tiny`, `vim2_small` and `vim2_base`."""

try:
    import timm  # noqa: F401  the library, which this package only has the name of
except ModuleNotFoundError as error:
    if error.name != 'timm':
        raise
    raise ModuleNotFoundError(
        'mmmambamixer.timm registers ViM2 with timm, which is not installed: '
        '`pip install timm`',
        name='timm',
    ) from error

from .vim2 import ViM2Classifier, vim2_base, vim2_small, vim2_tiny

__all__ = ['ViM2Classifier', 'vim2_base', 'vim2_small', 'vim2_tiny']
