"""Mixed precision: MMEngine's on a GPU, bfloat16 without a loss scale on the CPU."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from mmengine.runner.amp import autocast
from torch import nn

from ..registry import OPTIM_WRAPPERS
from .config import type_name

WITHOUT_BFLOAT16 = 'RoIAlign'
"""Layer of mmcv whose kernels take no bfloat16, on no device."""


@OPTIM_WRAPPERS.register_module()
class Bfloat16OptimWrapper(OptimWrapper):
    """Compute forward and loss under autocast to bfloat16, on CPU and GPU.

    Weights, their gradients and the optimiser stay fp32. bfloat16 has the range of
    fp32, so there is no loss scale, and the checkpoint is that of `OptimWrapper`.
    MMEngine's `AmpOptimWrapper` refuses the CPU.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        with super().optim_context(model), autocast(dtype=torch.bfloat16):
            yield


def fit_amp_to_cpu(config: Config) -> str | None:
    """Make the `AmpOptimWrapper` of a config, on the CPU, one that can run there.

    Returns:
        What was changed, in a sentence; None if nothing.

    Raises:
        ValueError: If its dtype is another one than bfloat16.
    """
    wrapper = config.get('optim_wrapper') or {}
    if type_name(wrapper) != 'AmpOptimWrapper' or get_device() != 'cpu':
        return None
    dtype = str(wrapper.get('dtype') or 'bfloat16').removeprefix('torch.')
    if dtype != 'bfloat16':
        raise ValueError(
            f'optim_wrapper.dtype is {dtype}, and mixed precision on the CPU is '
            'bfloat16: add --cfg-options optim_wrapper.dtype=bfloat16, or train '
            'on a GPU'
        )
    for key in ('dtype', 'loss_scale', 'use_fsdp'):
        wrapper.pop(key, None)
    wrapper['type'] = f'mmmambamixer.{Bfloat16OptimWrapper.__name__}'
    return 'mixed precision on the CPU: autocast to bfloat16, without a loss scale'


def check_bfloat16(model: nn.Module, config: Config) -> None:
    """Raise if a model is to train in bfloat16 and has a layer that cannot.

    Raises:
        ValueError: It names the layer.
    """
    wrapper = config.get('optim_wrapper') or {}
    ours = type_name(wrapper) == Bfloat16OptimWrapper.__name__
    if not ours and 'bfloat16' not in str(wrapper.get('dtype')):
        return
    for name, layer in model.named_modules():
        if type(layer).__name__ == WITHOUT_BFLOAT16:
            raise ValueError(
                f'{name} is a {WITHOUT_BFLOAT16}, for which mmcv has no bfloat16: '
                'train without mixed precision, or in float16 on a GPU'
            )
