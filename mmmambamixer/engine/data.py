"""The data sets of a run, opened and compared with all that must agree with them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from mmengine.evaluator import BaseMetric
from mmengine.runner import BaseLoop, Runner
from torch.utils.data import Dataset

from ..preflight.batches import check_batches
from ..preflight.data.agreement import (
    Part,
    check_agreement,
    check_ignored,
    ignored_labels,
    part_of,
    trained_part,
    unread_classes,
    warn_of_classes,
)
from ..preflight.data.coco import CocoFile, watch_coco
from ..preflight.data.counts import check_counts, count_labels
from ..preflight.data.files import check_data
from ..preflight.data.first_samples import (
    PACKERS,
    channels_of,
    check_image,
    check_packed,
    check_sizes_known,
    check_views,
    first_sample,
    same_random_numbers,
    warn_of_ranges,
)
from ..preflight.data.pipelines import (
    check_decoders,
    inner_datasets,
    step_lists,
    warn_of_random_steps,
)
from ..preflight.data.samples import watch_samples
from ..preflight.data.unopened import explain_data
from ..preflight.data.unread import warn_of_unread
from ..preflight.metrics.inputs import check_masks, check_metric
from ..preflight.metrics.monitored import check_monitored
from ..preflight.model import check_num_classes, head_classes
from ..preflight.series import check_series, check_trained_on

LOOP = ('dataloader', 'cfg', 'evaluator')
"""What a loop of a config has, as `val_dataloader`."""


def open_data(
    runner: Runner,
    *parts: str,
    meta: Mapping | None = None,
    path: str = '',
    anew: bool = False,
) -> None:
    """Open the data sets of the runner's loops and check all that must agree.

    From then on an unusable file raises `UnusableSample`, which names it.

    Args:
        runner: From `build_runner`.
        *parts: 'train', 'val' or 'test'; those that the config leaves out are skipped.
        meta: `meta` of the checkpoint that the run tests or starts from.
        path: Its name in messages.
        anew: Whether a training starts anew from its weights, maybe on other classes.

    Raises:
        ValueError: If a data set is empty or has nothing to learn; if data sets,
            checkpoint, model and metrics do not agree; the message names both sides.
    """
    with reading(runner) as files:
        loops = {part: open_loop(runner, part, files) for part in parts}
    loops = {part: loop for part, loop in loops.items() if loop is not None}
    datasets = {
        part: list(inner_datasets(loop.dataloader.dataset))
        for part, loop in loops.items()
    }
    for part, inner in datasets.items():
        key = f'{part}_dataloader'
        for dataset in inner:
            if told := unread_classes(dataset, key):
                raise ValueError(told)
            classes = class_names(runner, dataset)
            check_masks(dataset, classes, files, key)
            check_series(runner.model, dataset, key)
            warn_of_unread(dataset, key)
            if part != 'train':
                warn_of_random_steps(dataset, key)
            for steps in step_lists(dataset):
                check_decoders(steps, f'the pipeline of {key}')
            watch_samples(dataset, ignored_in(runner, part, dataset))
    if 'train' in loops:
        check_batches(runner.model, loops['train'].dataloader, runner.cfg)
    samples = {p: first_sample(loop.dataloader.dataset) for p, loop in loops.items()}
    for part, sample in samples.items():
        check_packed(sample, runner.cfg.get('default_scope'), part)
        check_views(runner.model, sample, part)
        if part != 'train':
            check_sizes_known(runner.model, sample, part)
        check_image(runner.model, channels_of(sample), f'{part}_dataloader')
    warn_of_ranges(samples)
    compare(runner, datasets, samples, trained_part(meta or {}, path), anew)
    if {'train', 'val'} <= {*loops}:
        check_monitored(runner.cfg, loops['val'].evaluator)
    for part, inner in datasets.items():
        count(runner, inner, files, part)
        if part != 'train':
            check_metrics(runner, loops[part], inner, samples[part], part)
        if meta and not anew and 'variates' in getattr(inner[0], 'metainfo', {}):
            check_trained_on(meta.get('dataset_meta') or {}, inner[0].metainfo, path)


def warn_of_test(runner: Runner) -> None:
    """Warn if a test of what a runner trains would be refused because of its data.

    The checks are those of `tools/test.py`, with the classes of the training data.
    Nothing is read where validation and testing are configured alike, as in most
    configs; forecasters are left alone, whose parts are of one table.

    Args:
        runner: With its training data opened; its test loop is left as it is.
    """
    config = runner.cfg
    parts = [
        [config.get(f'{part}_{key}') for key in LOOP if key != 'cfg']
        for part in ('val', 'test')
    ]
    given = all(config.get(f'test_{key}') is not None for key in LOOP)
    if not given or parts[0] == parts[1] or config.get('default_scope') not in PACKERS:
        return
    before = runner._test_loop
    trained = getattr(runner.train_loop.dataloader.dataset, 'metainfo', {})
    try:
        check_data(config, 'test')
        with same_random_numbers():
            open_data(
                runner,
                'test',
                meta=dict(dataset_meta=trained),
                path='train_dataloader',
            )
    except (ValueError, OSError) as error:
        runner.logger.warning(
            f'this training goes on, but tools/test.py would stop with: {error}'
        )
    finally:
        runner._test_loop = before


@contextmanager
def reading(runner: Runner) -> Iterator[dict[str, CocoFile]]:
    """Watch the COCO files that a detector's data sets read in the meantime."""
    if runner.cfg.get('default_scope') != 'mmdet':
        yield {}
        return
    from mmdet.datasets import CocoDataset

    with watch_coco(CocoDataset) as files:
        yield files


def open_loop(
    runner: Runner, part: str, files: Mapping[str, CocoFile]
) -> BaseLoop | None:
    """Return a loop of the runner with its data opened; None if there is no such loop.

    Raises:
        ValueError: If its data cannot be made, or make no batch.
    """
    key = f'{part}_dataloader'
    try:
        loop = getattr(runner, f'{part}_loop')
    except Exception as error:  # data files may be wrong in any way
        raise ValueError(explain_data(error, key, files)) from error
    if loop is not None and len(loop.dataloader) == 0:
        raise ValueError(
            f'{key} makes no batch of {len(loop.dataloader.dataset)} images: set a '
            'smaller batch_size, or drop_last=False'
        )
    return loop


def class_names(runner: Runner, dataset: Dataset) -> list[str]:
    """Return the classes of a data set; numbers where the heads alone know them."""
    classes = getattr(dataset, 'metainfo', {}).get('classes')
    if isinstance(classes, (list, tuple)) and classes:
        return list(map(str, classes))
    return list(map(str, range(max(head_classes(runner.model).values(), default=0))))


def ignored_in(runner: Runner, part: str, dataset: Dataset) -> set[int]:
    """Return the labels of pixels that a part leaves out."""
    metrics = () if part == 'train' else metrics_of(runner, part)
    return ignored_labels(runner.model, metrics, dataset)


def metrics_of(runner: Runner, part: str) -> Sequence[BaseMetric]:
    """Return the metrics of 'val' or 'test'."""
    return getattr(runner, f'{part}_loop').evaluator.metrics


def compare(
    runner: Runner,
    datasets: Mapping[str, list[Dataset]],
    samples: Mapping[str, object],
    trained: Part,
    anew: bool,
) -> None:
    """Raise ValueError unless data sets, checkpoint, heads and metrics agree."""
    parts = [
        part_of(dataset, f'{part}_dataloader', channels_of(samples[part]))
        for part, inner in datasets.items()
        for dataset in inner
    ]
    has_heads = bool(head_classes(runner.model))
    check_agreement(parts, has_heads=has_heads)
    if not anew:
        check_agreement([trained, *parts], has_heads=has_heads)
    elif has_heads:
        warn_of_classes(trained, parts[0])
    for part in parts if has_heads else ():
        if part.classes:
            check_num_classes(runner.model, part.classes, part.name)
    metrics = {
        f'{part}_evaluator': metrics_of(runner, part)
        for part in datasets
        if part != 'train'
    }
    named = {f'{part}_dataloader': inner for part, inner in datasets.items()}
    check_ignored(runner.model, named, metrics)


def count(
    runner: Runner, datasets: list[Dataset], files: Mapping[str, CocoFile], part: str
) -> None:
    """Raise ValueError if a part of the data has nothing to learn."""
    metrics = [] if part == 'train' else metrics_of(runner, part)
    if metrics and all(getattr(metric, 'format_only', False) for metric in metrics):
        return  # test images without annotations
    classes = class_names(runner, datasets[0])
    if not classes:
        return
    counts = []
    for dataset in datasets:
        ignored = ignored_in(runner, part, dataset)
        counts.append(count_labels(dataset, classes, ignored, files))
    counts = [found for found in counts if found is not None]
    if counts:
        total = sum(counts[1:], start=counts[0])
        learns, key = part == 'train', f'{part}_dataloader'
        check_counts(total, classes, key, learns=learns, ignored=ignored)


def check_metrics(
    runner: Runner, loop: BaseLoop, datasets: list[Dataset], sample, part: str
) -> None:
    """Raise ValueError unless the metrics of a loop can be computed."""
    given = runner.cfg.get(f'{part}_evaluator') or {}
    given = given.get('metrics', given) if isinstance(given, Mapping) else given
    given = list(given) if isinstance(given, (list, tuple)) else [given]
    own = hasattr(loop.evaluator, 'dataset_prefixes')  # a metric for each data set
    for i, (metric, entry) in enumerate(
        zip(loop.evaluator.metrics, given, strict=False)
    ):
        entry = entry if isinstance(entry, Mapping) else {}
        measured = datasets[i : i + 1] if own else datasets
        evaluated = measured if own else [loop.dataloader.dataset]
        check_metric(metric, entry, measured, evaluated, sample, runner.model, part)
