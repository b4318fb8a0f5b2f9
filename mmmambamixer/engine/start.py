"""A runner's data and first batch: what does not fit ends here, in one sentence."""

from mmengine.hooks import Hook

from .check_coco import watch_coco
from .check_model import check_num_classes
from .check_series import check_series
from .explain import explain
from .run_config import AT_FAULT, one_sentence
from .samples import (
    UnusableSample,
    check_image,
    check_label_depth,
    inner_datasets,
    watch_samples,
)
from .stopped import TrainingStopped

EMPTY = 'need at least one array to concatenate'
"""What MMEngine says when it packs a data set without images."""


class Begun(Hook):
    """Note that the first batch is there, so that errors are no longer the config's."""

    yes = False

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        self.yes = True


def train(runner) -> None:
    """Train; what is wrong with the config, or with a file, ends in one sentence."""
    begun = Begun()
    runner.register_hook(begun)
    try:
        with one_sentence((UnusableSample, TrainingStopped)):
            runner.train()
    except AT_FAULT as error:
        if begun.yes:
            raise
        with one_sentence():
            raise error


def open_data(runner, *parts: str) -> None:
    """Open the data sets of the runner's loops and check them against the model.

    From then on an unusable file raises `UnusableSample`, which names it.

    Args:
        runner: From `build_runner`.
        *parts: 'train', 'val' or 'test'; those that the config leaves out are skipped.

    Raises:
        ValueError: If a data set is empty, or the model has another number of classes,
            or other sizes of windows.
    """
    if runner.cfg.get('default_scope') == 'mmdet':
        from mmdet.datasets import CocoDataset

        watch_coco(CocoDataset)
    for part in parts:
        key = f'{part}_dataloader'
        try:
            loop = getattr(runner, f'{part}_loop')
        except Exception as error:  # data files may be wrong in any way
            if EMPTY in str(error):
                told = f'{key} has no image that its filters let pass'
            else:
                told = f'{key} can not be made: {explain(error)}'
            raise ValueError(told) from error
        if loop is None:
            continue
        if len(loop.dataloader) == 0:
            raise ValueError(
                f'{key} makes no batch of {len(loop.dataloader.dataset)} images'
            )
        for dataset in inner_datasets(loop.dataloader.dataset):
            classes = getattr(dataset, 'metainfo', {}).get('classes')
            if classes:
                check_num_classes(runner.model, classes, key)
            check_label_depth(dataset)
            check_series(runner.model, dataset, key)
        watch_samples(loop.dataloader.dataset)
        check_image(runner.model, loop.dataloader.dataset, key)
