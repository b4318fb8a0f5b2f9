"""How a config becomes a run: the runner, its checkpoints, what the tools share."""

from .checkpoint import check_state_dict, from_plain, to_plain
from .layer_decay import LayerDecayOptimWrapperConstructor
from .runner import PlainCheckpointHook, PlainCheckpointRunner

__all__ = [
    'LayerDecayOptimWrapperConstructor',
    'PlainCheckpointHook',
    'PlainCheckpointRunner',
    'check_state_dict',
    'from_plain',
    'to_plain',
]
