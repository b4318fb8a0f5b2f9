"""Several processes without a GPU: MMEngine's launcher picks a GPU in each."""

import torch
import torch.distributed as dist
from mmengine.config import Config
from torch import nn


def without_gpu(config: Config) -> bool:
    """Whether `torchrun` started this process on a machine without a GPU."""
    return config.get('launcher') == 'pytorch' and not torch.cuda.is_available()


def join_ranks(config: Config) -> None:
    """Connect the processes by gloo and let DDP keep the model on the CPU.

    Args:
        config: Its `model_wrapper_cfg` is changed; `env_cfg.dist_cfg` is not read, as
            the processes are connected when MMEngine asks.
    """
    if not without_gpu(config):
        return
    if not dist.is_initialized():
        dist.init_process_group('gloo')
    unused = config.get('find_unused_parameters', False)
    wrapper = dict(broadcast_buffers=False, find_unused_parameters=unused)
    config.model_wrapper_cfg = {**wrapper, **(config.get('model_wrapper_cfg') or {})}
    config.model_wrapper_cfg.device_ids = None


def check_norms(config: Config, model: nn.Module) -> None:
    """Raise if the model has SyncBN, which torch has for GPUs only.

    Raises:
        ValueError: Names the first such layer.
    """
    if not without_gpu(config):
        return
    for name, module in model.named_modules():
        if isinstance(module, nn.SyncBatchNorm):
            raise ValueError(
                f'{name.removeprefix("module.")} is SyncBN, which needs GPUs where '
                "several processes train: set norm_cfg=dict(type='BN')"
            )
