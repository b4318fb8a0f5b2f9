"""Functions of other projects, taken at run time from a file of theirs."""

import ast
import importlib.util
import sys
import types
from collections.abc import Callable
from pathlib import Path

import einops
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmmambamixer.models.layers.drop_path import DropPath


def mamba_ssm_reference(interface: Path) -> Callable:
    """Return `selective_scan_ref` of mamba_ssm, without the CUDA imports around it.

    Args:
        interface: Their `mamba_ssm/ops/selective_scan_interface.py`.

    Raises:
        ValueError: If there is no such function in the file.
    """
    tree = ast.parse(interface.read_text())
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == 'selective_scan_ref':
            names = dict(
                torch=torch, F=F, rearrange=einops.rearrange, repeat=einops.repeat
            )
            exec(compile(ast.Module([node], []), str(interface), 'exec'), names)
            return names['selective_scan_ref']
    raise ValueError(f'no function selective_scan_ref in {interface}')


def load_file(path: Path) -> types.ModuleType:
    """Import a file that needs nothing of its package."""
    spec = importlib.util.spec_from_file_location(f'peer_{path.stem}', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def import_vmamba(folder: str, device: str = 'cpu') -> types.ModuleType:
    """Import VMamba's `vmamba`; two packages that only training needs are stood in for.

    Args:
        folder: Their `classification/models`.
        device: 'cpu' replaces its copies of maps by their PyTorch code, for around
            them stands `torch.cuda.device(...)`.
    """
    layers = types.ModuleType('timm.models.layers')
    layers.DropPath = lambda rate: DropPath(drop_prob=rate)
    layers.trunc_normal_ = nn.init.trunc_normal_
    counters = types.ModuleType('fvcore.nn')
    names = ('FlopCountAnalysis', 'flop_count_str', 'flop_count', 'parameter_count')
    counters.__dict__.update(dict.fromkeys(names))
    for module in (types.ModuleType('timm'), types.ModuleType('timm.models')):
        sys.modules[module.__name__] = module
    sys.modules['fvcore'] = types.ModuleType('fvcore')
    sys.modules |= {'timm.models.layers': layers, 'fvcore.nn': counters}
    sys.path.insert(0, folder)
    vmamba = __import__('vmamba')
    if device == 'cpu':
        maps = sys.modules['csm_triton']
        vmamba.cross_scan_fn = _applied(maps.CrossScanF)
        vmamba.cross_merge_fn = _applied(maps.CrossMergeF)
    return vmamba


def _applied(function: type[torch.autograd.Function]) -> Callable:
    """Return a function of theirs, channels first, as it may be called on GPU."""

    def call(
        x: Tensor, *, one_by_one: bool = False, scans: int = 0, **layout
    ) -> Tensor:
        if not all(
            layout.get(k, True) for k in ('in_channel_first', 'out_channel_first')
        ):
            raise ValueError(f'only maps with the channels first, got {layout}')
        return function.apply(x, True, True, one_by_one, scans)

    return call
