"""Image backbones."""

from .vim2 import ViM2

__all__ = ['ViM2']
