"""Whether the parts of a model fit each other and the data, before it runs."""

from mmengine.model import BaseTTAModel, is_model_wrapper
from torch import nn

OWN_CLASSES = ('rpn_head', 'semantic_head')
"""Heads whose number of classes is not that of the data set."""


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model inside the wrappers for DDP and test-time augmentation."""
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model


def head_classes(model: nn.Module) -> dict[str, int]:
    """Return `num_classes` of each head that tells the classes of the data apart."""
    counts = {}
    for name, module in unwrapped(model).named_modules():
        parts = name.split('.')
        if (
            any(part.endswith('head') for part in parts)
            and not any(part in OWN_CLASSES for part in parts)
            and isinstance(getattr(module, 'num_classes', None), int)
        ):
            counts[name] = module.num_classes
    return counts
