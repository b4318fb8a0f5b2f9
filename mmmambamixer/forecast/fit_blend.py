"""Give a forecaster the weight that validation found best."""

from mmengine.hooks import Hook
from mmengine.runner import Runner

from ..registry import HOOKS
from ..wrappers import averaged_models, unwrapped


@HOOKS.register_module()
class FitBlendHook(Hook):
    """Set `model.blend` to the `blend/weight` of each validation.

    It needs `BlendMetric` in `val_evaluator`. Checkpoints saved afterwards hold the
    weight, the best one too, and those of averaged weights (`EMAHook`) likewise.
    """

    priority = 'LOW'  # before CheckpointHook saves the best

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        if 'blend/weight' not in (metrics or {}):
            raise ValueError(
                'FitBlendHook needs BlendMetric in val_evaluator, which gives '
                f'blend/weight; validation gave {", ".join(metrics or {}) or "nothing"}'
            )
        for model in (runner.model, *(x.module for x in averaged_models(runner))):
            unwrapped(model).blend.fill_(metrics['blend/weight'])
