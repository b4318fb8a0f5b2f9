"""The models behind wrappers and hooks."""

from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import Runner
from torch import nn


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model inside the wrappers for DDP and test-time augmentation."""
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model


def merges_views(model: nn.Module) -> bool:
    """Return whether a model merges several views of an image."""
    while is_model_wrapper(model):
        model = model.module
    return isinstance(model, BaseTTAModel)


def averaged_models(runner: Runner) -> list[nn.Module]:
    """Return the models in which hooks, as `EMAHook`, average the weights."""
    found = (getattr(hook, 'ema_model', None) for hook in runner.hooks)
    return [model for model in found if model is not None]
