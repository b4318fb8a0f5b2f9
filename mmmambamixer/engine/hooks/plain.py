"""Checkpoints that `torch.load(weights_only=True)` reads."""

from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...checkpoints.plain import from_plain, to_plain


class PlainCheckpointHook(Hook):
    """Save log histories, arrays and scalars as tensors and plain numbers.

    MMEngine pickles them as objects, and then refuses its own file when it is loaded
    safely. Weights are tensors already and stay as they are.
    """

    priority = 'LOWEST'

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        for key in checkpoint.keys() - {'state_dict', 'ema_state_dict'}:
            checkpoint[key] = to_plain(checkpoint[key])

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        for key in checkpoint.keys() & {'meta', 'message_hub'}:
            checkpoint[key] = from_plain(checkpoint[key])
        # The runner would parse and run the code of a config that a file brings.
        checkpoint.get('meta', {}).pop('config', None)
