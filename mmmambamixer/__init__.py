"""MambaMixer for OpenMMLab: `ViM2` and `TSM2` on compiled selective-scan ops.

Importing this package registers its models in MMEngine.
"""

from .faults import find_faults, installed
from .undisturbed import undisturbed
from .version import __version__

with undisturbed():  # MMEngine and OpenCV set variables and draw random numbers
    from . import registry  # noqa: F401  first: says so if MMEngine is missing

    try:
        from .models import TSM2, ViM2
    except ImportError as error:
        faults = find_faults(installed(), {'mmengine': str(error)})
        if not faults:
            raise
        raise ImportError(f'{error}. {"; ".join(faults)}') from error

__all__ = ['TSM2', 'ViM2', '__version__']
