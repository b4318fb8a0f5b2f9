"""Errors of torch inside a model, in the words of a config."""

import re

from torch import nn

ONE_VALUE = 'Expected more than 1 value per channel when training'
WEIGHTS = 'weight tensor should be defined either for all'
"""How torch says that a loss has weights for other classes."""
CHANNELS = (
    r'expected input\[.*\] to have (?P<made>\d+) channels, but got (?P<given>\d+)',
    r'mat1 and mat2 shapes cannot be multiplied \(\d+x(?P<given>\d+) and '
    r'(?P<made>\d+)x\d+\)',
    r'running_mean should contain (?P<given>\d+) elements not (?P<made>\d+)',
    r'normalized_shape=\[(?P<made>\d+)\], expected input with shape \[\*, \d+\], but '
    r'got input of size\[.*\b(?P<given>\d+)\]',
)
"""How torch says that a layer is made for other channels than it gets."""


def explain_layer(error: BaseException) -> str | None:
    """Return which layer failed, why and what to change, or None for other errors.

    Args:
        error: With its traceback.
    """
    text = str(error)
    if ONE_VALUE in text:
        return one_value(layer_of(error))
    if WEIGHTS in text:
        return (
            f'{layer_of(error)} must have as many numbers in class_weight as its head '
            'has classes'
        )
    for pattern in CHANNELS:
        if match := re.search(pattern, text):
            return (
                f'{layer_of(error)} is made for {match["made"]} channels and gets '
                f'{match["given"]}: set in_channels of this part of the model, which '
                'may be that of another backbone'
            )
    return None


def one_value(layer: str) -> str:
    """Return what to say of a batch norm that gets one value per channel."""
    return (
        f'{layer} is a batch norm and gets one value per channel, which has no '
        'variance: it needs two images in each batch, or larger maps; a norm of each '
        "image does not, norm_cfg=dict(type='GN', num_groups=...)"
    )


def layer_of(error: BaseException) -> str:
    """Return the name of the innermost module in a traceback, in the outermost one."""
    modules, step = [], error.__traceback__
    while step is not None:
        owner = step.tb_frame.f_locals.get('self')
        if isinstance(owner, nn.Module):
            modules.append(owner)
        step = step.tb_next
    if not modules:
        return 'a layer'
    names = {id(part): name for name, part in modules[0].named_modules()}
    name = names.get(id(modules[-1])) or type(modules[-1]).__name__
    return name.removeprefix('module.')
