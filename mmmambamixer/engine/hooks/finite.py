"""Stop at the first loss or gradient that is not a finite number."""

from collections.abc import Sequence
from functools import partial

import torch
import torch.distributed as dist
from mmengine.device import get_device
from mmengine.dist import is_distributed
from mmengine.hooks import Hook
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.runner import Runner
from torch import Tensor

from ...checkpoints.compare import first
from ...messages import TrainingStopped
from ...registry import HOOKS


@HOOKS.register_module()
class FiniteHook(Hook):
    """Check loss and gradients of every step before the optimiser uses them.

    All processes agree on the answer. A step that is not finite changes no weight.

    Args:
        skip: Steps in a row that may be left out before the run stops. Under
            `AmpOptimWrapper` with a dynamic loss scale the scaler leaves out steps by
            itself, so `amp_skip` holds there for gradients.
        amp_skip: The same for a dynamic loss scale, which needs some steps to settle.
    """

    priority = 'VERY_LOW'

    def __init__(self, *, skip: int = 0, amp_skip: int = 30) -> None:
        self.skip, self.amp_skip = skip, amp_skip
        self.in_a_row = 0

    def before_train(self, runner: Runner) -> None:
        wrapper = runner.optim_wrapper
        if not isinstance(wrapper, OptimWrapper):
            raise ValueError(
                f'FiniteHook checks one optimiser, got a {type(wrapper).__name__}'
            )
        self.runner, self.wrapper = runner, wrapper
        self.losses: list[Tensor] = []
        self.update_params, self.step = wrapper.update_params, wrapper.step
        wrapper.update_params, wrapper.step = self._update_params, partial(self._step)
        wrapper.step._with_counter = True  # schedules look for it; `self.step` counts

    def after_train(self, runner: Runner) -> None:
        self.wrapper.update_params, self.wrapper.step = self.update_params, self.step

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch=None
    ) -> None:
        self.data_batch = data_batch

    def _update_params(self, loss: Tensor, *args, **kwargs) -> None:
        self.losses.append(loss.detach())
        self.update_params(loss, *args, **kwargs)

    def _step(self, **kwargs) -> None:
        losses, self.losses = self.losses, []
        gradients = [p.grad for p in self._parameters() if p.grad is not None]
        norms = torch._foreach_norm(gradients) if gradients else []
        finite_losses, finite_gradients = all_finite(losses, norms)
        if finite_losses and finite_gradients:
            self.in_a_row = 0
            self.step(**kwargs)
            return
        self.in_a_row += 1
        scaled = isinstance(self.wrapper, AmpOptimWrapper) and finite_losses
        allowed = max(self.skip, self.amp_skip) if scaled else self.skip
        message = self._message(losses)
        if self.in_a_row > allowed:
            raise TrainingStopped(message)
        self.runner.logger.warning(f'{message}; step {self.in_a_row} in a row left out')
        if scaled:  # the scaler notes it and lowers the scale
            self.step(**kwargs)

    def _parameters(self):
        for group in self.wrapper.optimizer.param_groups:
            yield from group['params']

    def _message(self, losses: list[Tensor]) -> str:
        names = [
            name
            for name, value in self.runner.model.named_parameters()
            if value.grad is not None and not value.grad.isfinite().all()
        ]
        told = f'{len(names)} gradients ({first(names)})' if names else 'no gradient'
        saved = self.runner.message_hub.runtime_info.get('last_ckpt')
        return (
            f'iteration {self.runner.iter + 1} is not finite: the loss is '
            f'{", ".join(f"{float(loss):.4g}" for loss in losses)}, and {told}; '
            f'images of the batch: {first(image_paths(self.data_batch)) or "unknown"}; '
            f'last checkpoint: {saved or "none yet"}'
        )


def all_finite(*groups: Sequence[Tensor]) -> list[bool]:
    """Return for each group of scalars whether all are finite, on every process.

    All processes get the same answer, whatever each of them has.
    """
    one = torch.ones(1, device=get_device())  # an empty group is finite
    flags = [torch.stack([*group, one[0]]).isfinite().all() for group in groups]
    flags = torch.stack(flags).int()
    if is_distributed():
        dist.all_reduce(flags, op=dist.ReduceOp.MIN)
    return [bool(flag) for flag in flags]


def image_paths(batch) -> list[str]:
    """Return the files that a batch of mmpretrain, mmdet or mmseg was read from."""
    samples = batch.get('data_samples', []) if isinstance(batch, dict) else []
    paths = [getattr(sample, 'img_path', None) for sample in samples or []]
    return [str(path) for path in paths if path]
