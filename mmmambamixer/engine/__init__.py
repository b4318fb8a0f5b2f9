"""How a config becomes a run: the runner, its hooks, what the tools share."""

from .checkpoint import check_state_dict, from_plain, to_plain
from .checkpoint_hook import SafeCheckpointHook
from .finite import FiniteHook
from .fit_blend import FitBlendHook
from .fit_linear import FitLinearPathHook, fit_linear_path
from .interruption import InterruptionHook
from .layer_decay import LayerDecayOptimWrapperConstructor
from .plain_hook import PlainCheckpointHook
from .replay import ReplayHook
from .runner import SafeRunner
from .stopped import TrainingStopped

__all__ = [
    'FiniteHook',
    'FitBlendHook',
    'FitLinearPathHook',
    'InterruptionHook',
    'LayerDecayOptimWrapperConstructor',
    'PlainCheckpointHook',
    'ReplayHook',
    'SafeCheckpointHook',
    'SafeRunner',
    'TrainingStopped',
    'check_state_dict',
    'fit_linear_path',
    'from_plain',
    'to_plain',
]
