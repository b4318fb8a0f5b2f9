"""ViM2 for timm: importing this registers `vim2_tiny`, `vim2_small` and `vim2_base`."""

import re

OLDEST = (1, 0, 20)
"""Version of timm with all that is used here."""

try:
    import timm  # the library, which this package only has the name of
except ModuleNotFoundError as error:
    if error.name != 'timm':
        raise
    raise ModuleNotFoundError(
        'mmmambamixer.timm registers ViM2 with timm, which is not installed: '
        '`pip install timm`',
        name='timm',
    ) from error
if tuple(map(int, re.findall(r'\d+', timm.__version__)[:3])) < OLDEST:
    raise ImportError(
        f'mmmambamixer.timm needs timm {".".join(map(str, OLDEST))} or later, this is '
        f'{timm.__version__}: `pip install --upgrade timm`'
    )

from .vim2 import ViM2Classifier, vim2_base, vim2_small, vim2_tiny  # noqa: E402

__all__ = ['ViM2Classifier', 'vim2_base', 'vim2_small', 'vim2_tiny']
