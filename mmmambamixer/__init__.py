"""MambaMixer for OpenMMLab: `ViM2` and `TSM2` on compiled selective-scan ops.

Importing this package registers its models in MMEngine.
"""

from .undisturbed import undisturbed
from .version import __version__

with undisturbed():  # MMEngine and OpenCV set variables and draw random numbers
    from . import registry  # noqa: F401  first: says so if MMEngine is missing
    from .models import TSM2, ViM2

__all__ = ['TSM2', 'ViM2', '__version__']
