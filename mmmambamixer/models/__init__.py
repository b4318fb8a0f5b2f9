"""Models; importing this registers them and the FLOPs of the ops."""

from .. import flops  # noqa: F401  registers the handlers
from .backbones import ViM2
from .forecasters import TSM2

__all__ = ['TSM2', 'ViM2']
