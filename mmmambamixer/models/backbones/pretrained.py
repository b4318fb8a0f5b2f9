"""Starting weights: refuse a checkpoint that MMEngine would load in part."""

import re
from collections.abc import Mapping

from mmengine.logging import print_log
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from mmmambamixer.checkpoints.compare import (
    MISSING,
    RESHAPED,
    check_numbers,
    compare,
    first,
    tell,
    weights_of,
)

OUTPUT_NORM = re.compile(r'norm\d+\.(weight|bias)')
"""Backbones for another task return other stages, so their output norms differ."""


def pretrained_settings(init_cfg: dict | list | None) -> dict | None:
    """Return the entry of `init_cfg` that loads a checkpoint, or None.

    Raises:
        ValueError: If there are several, if it names no checkpoint, or if `init_cfg` is
            no dict or list of dicts.
    """
    entries = init_cfg if isinstance(init_cfg, (list, tuple)) else [init_cfg or {}]
    if not all(isinstance(entry, Mapping) for entry in entries):
        raise ValueError(f'init_cfg must be a dict or list of dicts, got {init_cfg!r}')
    found = [entry for entry in entries if entry.get('type') == 'Pretrained']
    if not found:
        return None
    if len(found) > 1:
        raise ValueError(
            f'init_cfg may load one checkpoint, it has {len(found)} entries of type '
            'Pretrained'
        )
    checkpoint = found[0].get('checkpoint')
    if not isinstance(checkpoint, str) or not checkpoint:
        raise ValueError(
            'init_cfg of type Pretrained needs the path or URL of a checkpoint, got '
            f'checkpoint={checkpoint!r}; to train from scratch leave init_cfg out'
        )
    return found[0]


def check_pretrained(model: nn.Module, settings: Mapping) -> None:
    """Raise unless a checkpoint fits a model, as `fitting_weights` says.

    Args:
        model: The backbone.
        settings: Entry of an `init_cfg`: `checkpoint` and, where the checkpoint holds
            more than the backbone, `prefix`.

    Raises:
        ValueError: If the checkpoint does not fit.
    """
    name = settings['checkpoint']
    checkpoint = CheckpointLoader.load_checkpoint(name, map_location='cpu')
    fitting_weights(model, checkpoint, name, settings.get('prefix') or '')


def fitting_weights(
    model: nn.Module, checkpoint: Mapping, name: str, prefix: str
) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint for a backbone: all of them, and no others.

    Output norms (`norm0`, ...) may be missing or too many. So may be what a warm start
    of `tools/convert_vmamba.py` says it leaves out, in its `meta['initial']`.

    Args:
        model: The backbone.
        checkpoint: What was loaded.
        name: Its name in the message.
        prefix: What stands before the backbone's names in it.

    Raises:
        ValueError: If the checkpoint does not fit; the message counts what is missing,
            unexpected or of another shape, and a table has the first ones.
    """
    prefix = prefix if prefix.endswith('.') or not prefix else f'{prefix}.'
    loaded = weights_of(checkpoint, name)
    given = {
        key.removeprefix(prefix): value
        for key, value in loaded.items()
        if key.startswith(prefix)
    }
    check_numbers(given, name)
    initial = checkpoint.get('meta', {}).get('initial', ())
    initial = {key.removeprefix(prefix) for key in initial if key.startswith(prefix)}
    wrong, allowed = [], []
    for fault in compare(model.state_dict(), given):
        fine = (fault.kind != RESHAPED and OUTPUT_NORM.fullmatch(fault.name)) or (
            fault.kind == MISSING and fault.name in initial
        )
        (allowed if fine else wrong).append(fault)
    if wrong:
        raise ValueError(
            f'{name} does not fit {type(model).__name__} of {len(model.state_dict())} '
            f'tensors: {tell(wrong, _hint(loaded, prefix, given))}'
        )
    if allowed:
        told = first([fault.name for fault in allowed])
        print_log(f'{name}: {len(allowed)} tensors differ as allowed ({told})')
    return given


def _hint(loaded: Mapping, prefix: str, given: Mapping) -> str:
    parts = sorted({f'{key.split(".")[0]}.' for key in loaded})
    if prefix and not given:
        return (
            f'; nothing in it begins with {prefix!r}, names begin with {first(parts)}'
        )
    if not prefix and 'backbone.' in parts:
        return "; it holds a whole model: set prefix='backbone.'"
    return ''
