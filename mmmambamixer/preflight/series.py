"""Whether a forecaster, its tables and its checkpoint fit each other."""

from collections.abc import Mapping, Sequence

from torch import nn
from torch.utils.data import Dataset

from ..messages import few
from ..wrappers import unwrapped

FORECASTING = 'mmmambamixer'
"""Default scope of forecasting configs."""


def check_series(model: nn.Module, dataset: Dataset, key: str) -> None:
    """Raise unless a forecaster has the sizes of the windows that it gets.

    Args:
        model: Left alone, as the dataset, if it is about something else.
        dataset: A `SeriesDataset`.
        key: Its name in the message.

    Raises:
        ValueError: Names the argument of the model and both numbers.
    """
    model, meta = unwrapped(model), getattr(dataset, 'metainfo', {})
    if not hasattr(model, 'look_back') or 'look_back' not in meta:
        return
    names = meta['variates']
    for name, wanted in (
        ('variates', len(names)),
        ('look_back', meta['look_back']),
        ('horizon', meta['horizon']),
    ):
        told = f' ({few(names)})' if name == 'variates' else ''
        expect(name, wanted, getattr(model, name), key, told)
    every = list(range(len(names)))
    targets = every if model.targets is None else model.targets
    if targets != meta['targets']:
        wanted = None if meta['targets'] == every else meta['targets']
        told = f' ({few([names[i] for i in meta["targets"]])})'
        expect('targets', wanted, model.targets, key, told)
    for name, part, given in (
        ('future_covariates', 'future_tokens', meta.get('known', [])),
        ('static_features', 'static_token', meta.get('static', [])),
    ):
        layer = getattr(model, part, None)
        told = f' ({few(given)})' if given else ''
        expect(name, len(given), layer.shape[-1] if layer is not None else 0, key, told)


def expect(name: str, wanted, got, key: str, told: str) -> None:
    """Raise ValueError unless an argument of the model is what the data need."""
    if wanted != got:
        raise ValueError(
            f'model.{name} must be {wanted}, as the windows of {key} have it{told}, '
            f'got {got}'
        )


def check_trained_on(trained: Mapping, given: Mapping, path: str) -> None:
    """Raise if a checkpoint was trained on other columns than those of a table.

    Args:
        trained: `dataset_meta` of the checkpoint; one without variates passes.
        given: `metainfo` of the dataset, or a part of it.
        path: Name of the checkpoint in the message.

    Raises:
        ValueError: Names the first column that differs.
    """
    if not trained.get('variates'):
        return
    check_columns(trained['variates'], given['variates'], 'variate', path)
    for key, kind in (('known', 'future covariate'), ('static', 'static feature')):
        if key in given:
            check_columns(trained.get(key, []), given[key], kind, path)


def check_columns(
    trained: Sequence[str], given: Sequence[str], kind: str, path: str
) -> None:
    """Raise ValueError unless two lists of names are equal."""
    trained, given = list(trained), list(given)
    if trained == given:
        return
    if sorted(trained) == sorted(given):
        pairs = enumerate(zip(trained, given, strict=True))
        i = next(i for i, (a, b) in pairs if a != b)
        raise ValueError(
            f"{path} was trained with the {kind} '{trained[i]}' at place {i}, the "
            f"table has '{given[i]}' there: give the columns in the order of the "
            'checkpoint'
        )
    lacking = [name for name in trained if name not in given]
    more = [name for name in given if name not in trained]
    told = [f'lacks {few(lacking)}'] * bool(lacking) + [f'also has {few(more)}'] * (
        bool(more)
    )
    raise ValueError(
        f'{path} was trained on the {kind}s {few(trained)}; the table '
        f'{" and ".join(told)}'
    )
