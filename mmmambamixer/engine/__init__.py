"""How a config becomes a run: the runner and its hooks."""

from .hooks.checkpoint import SafeCheckpointHook
from .hooks.finite import FiniteHook
from .hooks.interruption import InterruptionHook
from .hooks.plain import PlainCheckpointHook
from .hooks.replay import ReplayHook
from .hooks.strict_load import StrictLoadHook
from .layer_decay import LayerDecayOptimWrapperConstructor
from .mixed_precision import Bfloat16OptimWrapper
from .runner import SafeRunner

__all__ = [
    'Bfloat16OptimWrapper',
    'FiniteHook',
    'InterruptionHook',
    'LayerDecayOptimWrapperConstructor',
    'PlainCheckpointHook',
    'ReplayHook',
    'SafeCheckpointHook',
    'SafeRunner',
    'StrictLoadHook',
]
