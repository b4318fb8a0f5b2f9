"""Set the linear path of a forecaster in closed form before it is trained."""

import torch
from mmengine.dist import broadcast
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ..registry import HOOKS
from ..wrappers import unwrapped


@HOOKS.register_module()
class FitLinearPathHook(Hook):
    """Fit `model.linear_path` to the train split; choose its penalties by val.

    Before training starts; a run that is resumed has it in its checkpoint. All
    processes get the weight of the first.
    """

    def before_train(self, runner: Runner) -> None:
        if runner.iter > 0:
            return
        path = getattr(unwrapped(runner.model), 'linear_path', None)
        if path is None:
            raise ValueError(
                'FitLinearPathHook needs a model with linear_path, got a '
                f'{type(unwrapped(runner.model)).__name__} without: set '
                'model.linear_path, or remove the hook'
            )
        if runner.val_loop is None:
            raise ValueError(
                'FitLinearPathHook chooses penalties on the val part, but the config '
                'has no val_dataloader'
            )
        report = fit_linear_path(
            path,
            runner.train_loop.dataloader.dataset,
            runner.val_loop.dataloader.dataset,
        )
        with torch.no_grad():
            for tensor in path.state_dict().values():
                broadcast(tensor)
        told = ', '.join(
            f'{name} {value:.4f}' if name == 'val_mse' else f'{name} {value}'
            for name, value in report.items()
        )
        runner.logger.info(f'linear path in closed form: {told}')


def fit_linear_path(path, train_dataset, val_dataset) -> dict:
    """Fit a linear path to all windows of a dataset; return its report.

    Windows with a target that is not scored, or with a sentinel, are left out. Where
    only some variates are forecast, val counts these.

    Args:
        path: The `LinearPath` of a model.
        train_dataset: A `SeriesDataset` of the train split.
        val_dataset: The same of the val split.
    """
    train, val = train_dataset.fit_rows(), val_dataset.fit_rows()
    scored = val['scored'].copy()
    targets = val_dataset.metainfo['targets']
    scored[:, [i for i in range(scored.shape[1]) if i not in targets]] = False
    return path.fit(
        train['rows'],
        val['rows'],
        train_scored=train['scored'],
        train_sound=train['sound'],
        val_scored=scored,
    )
