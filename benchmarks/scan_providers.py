"""Who can run a selective scan here: ours, other projects', PyTorch's own.

Each provider is a function with the arguments of `selective_scan`. What is not
installed or not given is absent, with a reason; nothing is left out silently.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from peers import load_file, mamba_ssm_reference
from scan_cases import channels_last
from torch import Tensor
from torch._higher_order_ops.associative_scan import associative_scan

from mmmambamixer.ops import selective_scan, selective_scan_reference

OURS = 'mmmambamixer'
OURS_CHANNELS_LAST = f'{OURS}, channels last'
COMPILED = 'compiled'
EXP = 'torch.exp'
"""A yardstick, not a scan: exp over (b, l, d, n) numbers into memory that is there."""

Inputs = Mapping[str, Tensor]


class Provider(NamedTuple):
    """`function` runs on what `prepare`, which is not timed, makes of the inputs."""

    function: Callable
    prepare: Callable[[Inputs], Inputs] = dict


class Found(NamedTuple):
    """Providers by name, and why others are absent."""

    present: dict[str, Provider]
    absent: dict[str, str]


def find(
    device: str,
    mamba_ssm: Path | None = None,
    mambapy: Path | None = None,
    compiled: bool = False,
) -> Found:
    """Return all providers that can run on `device`.

    Args:
        device: 'cpu' or 'cuda'.
        mamba_ssm: Their `mamba_ssm/ops/selective_scan_interface.py`; if None the
            installed package is looked for.
        mambapy: mamba.py's `mambapy/pscan.py`; likewise.
        compiled: Also compile PyTorch's associative scan, which takes minutes on CPU.
    """
    found = Found({}, {})
    found.present[OURS] = Provider(selective_scan)
    found.present[OURS_CHANNELS_LAST] = Provider(selective_scan, channels_last)
    found.present[f'{OURS} reference'] = Provider(selective_scan_reference)
    _add_mamba_ssm(found, device, mamba_ssm)
    _add_pscan(found, mambapy)
    _add_associative_scan(found, device, compiled)
    found.absent['transformers'] = (
        'its slow path is not a function of its own; it is a loop over the steps like '
        "mamba_ssm's selective_scan_ref, or mamba.py's pscan"
    )
    return found


def _add_mamba_ssm(found: Found, device: str, file: Path | None) -> None:
    names = [f'mamba_ssm selective_scan_{x}' for x in ('fn', 'ref')]
    package, why = _installed('mamba_ssm.ops.selective_scan_interface')
    if device != 'cuda':
        found.absent[names[0]] = 'runs on GPU only'
    elif package is None:
        found.absent[names[0]] = why
    elif package.selective_scan_cuda is None:
        found.absent[names[0]] = 'mamba_ssm was installed without its CUDA kernel'
    else:
        found.present[names[0]] = Provider(package.selective_scan_fn)
    if file is not None:
        found.present[names[1]] = Provider(mamba_ssm_reference(file))
    elif package is not None:
        found.present[names[1]] = Provider(package.selective_scan_ref)
    else:
        found.absent[names[1]] = f'{why}; --mamba-ssm names no file'


def _add_pscan(found: Found, file: Path | None) -> None:
    package, why = _installed('mambapy.pscan')
    if file is not None:
        package = load_file(file)
    if package is None:
        found.absent['mamba.py pscan'] = f'{why}; --mambapy names no file'
    else:
        found.present['mamba.py pscan'] = Provider(discretised(package.pscan))


def _add_associative_scan(found: Found, device: str, compiled: bool) -> None:
    name = 'torch associative_scan'
    mode = 'generic'
    found.present[name] = Provider(discretised(_associative(mode)))
    if not compiled:
        found.absent[f'{name}, {COMPILED}'] = 'not asked for with --compiled'
        return
    if device == 'cuda':
        mode = 'pointwise'
    function = torch.compile(discretised(_associative(mode)), dynamic=False)
    found.present[f'{name}, {COMPILED}'] = Provider(function)


def _installed(module: str) -> tuple[object | None, str]:
    """Return the module, or None and the reason."""
    try:
        return import_module(module), ''
    except ImportError as error:
        return None, f'not installed ({error})'


def _associative(mode: str) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the scan of h_t = a_t h_{t-1} + b_t over axis 1 by PyTorch's prototype."""

    def combine(x: tuple, y: tuple) -> tuple:
        return x[0] * y[0], y[0] * x[1] + y[1]

    def scan(a: Tensor, b: Tensor) -> Tensor:
        return associative_scan(combine, (a, b), 1, combine_mode=mode)[1]

    return scan


def discretised(scan: Callable[[Tensor, Tensor], Tensor]) -> Callable:
    """Return a selective scan around one of a and b, `(b, l, d, n)`, in fp32.

    The discretisation before and the product with C after it belong to the time.
    """

    def function(
        u: Tensor,
        delta: Tensor,
        A: Tensor,
        B: Tensor,
        C: Tensor,
        D: Tensor,
        delta_bias: Tensor,
        delta_softplus: bool = True,
    ) -> Tensor:
        g = B.shape[1]
        x, step = u.float().mT, delta.float().mT + delta_bias  # (b, l, d)
        step = F.softplus(step) if delta_softplus else step
        B, C = (m.float().permute(0, 3, 1, 2) for m in (B, C))  # (b, l, g, n)
        a = torch.exp(step[..., None] * A)
        steps = (step * x).unflatten(2, (g, -1))  # (b, l, g, d / g)
        h = scan(a, (steps[..., None] * B[:, :, :, None]).flatten(2, 3))
        h = h.unflatten(2, (g, -1))  # (b, l, g, d / g, n)
        y = (h @ C[..., None]).flatten(2)  # (b, l, d)
        return (y + D * x).mT.to(u.dtype)

    return function


def exp_call(inputs: Inputs) -> Callable[[], Tensor]:
    """Return the call of the yardstick for the shape of the inputs."""
    (b, d, l), n = inputs['u'].shape, inputs['A'].shape[1]
    exponents = -torch.rand(1, l, d, n, device=inputs['u'].device).expand(b, -1, -1, -1)
    if exponents.is_cuda:  # the caching allocator has the memory; others need it too
        return lambda: torch.exp(exponents)
    out = torch.empty(b, l, d, n)
    return lambda: torch.exp(exponents, out=out)
