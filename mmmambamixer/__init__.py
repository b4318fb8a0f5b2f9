"""MambaMixer for OpenMMLab: `ViM2` backbones on compiled selective-scan ops."""

from .version import __version__

__all__ = ['__version__']
