"""Models; importing this registers them and the FLOPs of the ops."""

from .. import flops  # noqa: F401  registers the handlers
from .backbones import ViM2

__all__ = ['ViM2']
