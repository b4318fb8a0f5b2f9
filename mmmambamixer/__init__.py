"""MambaMixer for OpenMMLab: `ViM2` and `TSM2` on compiled selective-scan ops.

Importing this package registers its models in MMEngine.
"""

from . import registry  # noqa: F401  first: says so if MMEngine is missing
from .models import TSM2, ViM2
from .version import __version__

__all__ = ['TSM2', 'ViM2', '__version__']
