"""A progress bar of a training."""

from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.utils import ProgressBar


class ProgressHook(Hook):
    """Show how many steps of a training are done."""

    bar = None

    def before_train(self, runner: Runner) -> None:
        self.bar = ProgressBar(runner.max_iters)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.bar.update()

    def after_train(self, runner: Runner) -> None:
        print()
