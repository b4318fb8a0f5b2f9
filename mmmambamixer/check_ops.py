"""Run the ops and a training step on each device against the reference in fp64."""

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from . import ops
from .ops import backend, testing
from .ops.testing import Evaluation, cross_inputs, scan_inputs

F32, B16 = torch.float32, torch.bfloat16
STEP_LIMIT = 1e-4
"""Relative error of the gradients of a training step in fp32."""


class Outcome(NamedTuple):
    """What came of one check: its worst tensor, with its error and the limit."""

    tensor: str
    error: float
    limit: float


def check(devices: list[torch.device] | None = None) -> bool:
    """Print a line for each check on each device; return whether all are right.

    Args:
        devices: Where to run; the CPU and all GPUs if None.
    """
    right = True
    for device in devices or all_devices():
        for name, run in CHECKS.items():
            start = time.perf_counter()
            try:
                with torch.random.fork_rng(devices=[]), full_precision():
                    torch.manual_seed(0)
                    outcome = run(device)
                passed = outcome.error <= outcome.limit  # NaN is not
                text = (
                    f'{outcome.tensor}: error {outcome.error:.1e}, '
                    f'at most {outcome.limit:.1e}'
                )
            except Exception as error:  # the other checks are wanted all the same
                passed, text = False, f'{type(error).__name__}: {first_line(error)}'
            right &= passed
            seconds = time.perf_counter() - start
            verdict = 'ok' if passed else 'FAILED'
            print(f'{device!s:7} {name:28} {verdict:6} {seconds:5.1f} s  {text}')
    return right


def all_devices() -> list[torch.device]:
    """Return the CPU and the GPUs that torch sees."""
    gpus = range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    return [torch.device('cpu'), *(torch.device('cuda', i) for i in gpus)]


def full_precision():
    """Return a context in which convolutions do not round fp32 to TF32."""
    cudnn = torch.backends.cudnn
    return cudnn.flags(
        enabled=cudnn.enabled,
        benchmark=cudnn.benchmark,
        deterministic=cudnn.deterministic,
        allow_tf32=False,
    )


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, at most 200 letters of it."""
    return str(error).partition('\n')[0][:200]


def selective_scan(device: torch.device, dtype: torch.dtype) -> Outcome:
    x = scan_inputs(2, 40, 36, 4, 2, z=True, dtypes=(dtype,) * 3)
    options = dict(delta_softplus=True, return_last_state=True)
    return compare('selective_scan', device, x, options)


def long_scan(device: torch.device) -> Outcome:
    """Check a sequence of few channels, whose steps run in chunks on a GPU."""
    x = scan_inputs(1, 16, 200, 16, dtypes=(F32,) * 3)
    x = {k: v.mT.contiguous().mT if k in ('u', 'delta') else v for k, v in x.items()}
    return compare('selective_scan', device, x, dict(delta_softplus=True))


def cross_selective_scan(device: torch.device, dtype: torch.dtype) -> Outcome:
    x = cross_inputs(2, 4, 42, 40, 4, 4, dtypes=(dtype,) * 3)
    return compare(
        'cross_selective_scan', device, x, dict(routes=ops.CROSS, height=6, width=7)
    )


def scan_conv(device: torch.device, dtype: torch.dtype) -> Outcome:
    x = dict(
        v=torch.randn(2, 37, 70).to(dtype),
        weight=torch.randn(4, 4, 70),
        bias=torch.randn(4, 70),
    )
    return compare('scan_conv', device, x, dict(routes=ops.CROSS, silu=True))


def gated_norm(device: torch.device, dtype: torch.dtype) -> Outcome:
    x = dict(
        x=torch.randn(2, 70, 37).mT,
        z=torch.randn(2, 37, 70).to(dtype),
        weight=torch.randn(70),
        bias=torch.randn(70),
    )
    return compare('gated_norm', device, x, {})


def weighted_sum(device: torch.device, dtype: torch.dtype) -> Outcome:
    x = {f'tensors[{i}]': torch.randn(3, 1001).to(dtype) for i in range(3)}
    return compare('weighted_sum', device, x | dict(weights=torch.randn(3)), {})


def compare(op: str, device: torch.device, inputs: dict, options: dict) -> Outcome:
    """Compare results and gradients of an op with its reference on the CPU."""
    function, reference = getattr(ops, op), getattr(ops, f'{op}_reference')
    if op == 'weighted_sum':
        function, reference = taking_names(function), taking_names(reference)
    moved = {k: None if x is None else x.to(device) for k, x in inputs.items()}
    actual = testing.evaluate(function, moved, **options)
    dys = [dy.cpu() for dy in actual.dys]
    exact = testing.exactly(reference, inputs, dys, **options)
    own = testing.sampled(reference, inputs, dys, 3, **options)
    return max(outcomes(actual, exact, own), key=lambda x: worse(x.error / x.limit))


def taking_names(function: Callable) -> Callable:
    """Return `weighted_sum` as a function of tensors by name, the weights last."""

    def run(**inputs: Tensor) -> Tensor:
        *tensors, weights = inputs.values()
        return function(tensors, weights)

    return run


def outcomes(
    actual: Evaluation, exact: Evaluation, own: list[Evaluation]
) -> Iterator[Outcome]:
    """Yield an outcome for each tensor; the reference in fp32 may err half as much."""
    for kind in (0, 1):
        for name, expected in exact[kind].items():
            value = actual[kind][name].cpu()
            errors = (
                testing.relative_error(x[kind][name].to(value.dtype), expected)
                for x in own
            )
            limit = max(testing.limit(value, expected, kind), 2 * max(errors))
            yield Outcome(name, testing.relative_error(value, expected), limit)


def worse(ratio: float) -> float:
    """Return a ratio that can be ordered: no number is the worst."""
    return ratio if ratio == ratio else float('inf')


def training_step(device: torch.device) -> Outcome:
    """Compare the gradients of a step of SGD with those of the reference."""
    from .models import ViM2  # which needs MMEngine

    arch = dict(embed_dims=(8, 16), depths=(1, 1))
    model = ViM2(arch=arch, d_state=4, grid_size=4, out_indices=(1,), drop_path_rate=0)
    images = torch.randn(2, 3, 32, 32)
    before = {k: p.detach().clone() for k, p in model.named_parameters()}
    with testing.on_cpu(backend.REFERENCES):
        expected = step(model.double(), images.double())
    model.load_state_dict(before, strict=False)
    actual = step(model.float().to(device), images.to(device))
    error = testing.relative_error(actual, expected)
    return Outcome('gradients', error, STEP_LIMIT)


def step(model: torch.nn.Module, images: Tensor) -> Tensor:
    """Train for one step; return all gradients."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=1.0)
    optimizer.zero_grad()
    (y,) = model.train()(images)
    y.sin().mean().backward()
    optimizer.step()
    return torch.cat([p.grad.flatten() for p in parameters]).cpu()


CHECKS: dict[str, Callable[[torch.device], Outcome]] = {
    'selective_scan fp32': lambda device: selective_scan(device, F32),
    'selective_scan bf16': lambda device: selective_scan(device, B16),
    'selective_scan in chunks': long_scan,
    'cross_selective_scan fp32': lambda device: cross_selective_scan(device, F32),
    'cross_selective_scan bf16': lambda device: cross_selective_scan(device, B16),
    'scan_conv fp32': lambda device: scan_conv(device, F32),
    'scan_conv bf16': lambda device: scan_conv(device, B16),
    'gated_norm fp32': lambda device: gated_norm(device, F32),
    'gated_norm bf16': lambda device: gated_norm(device, B16),
    'weighted_sum fp32': lambda device: weighted_sum(device, F32),
    'weighted_sum bf16': lambda device: weighted_sum(device, B16),
    'training step of ViM2 fp32': training_step,
}
