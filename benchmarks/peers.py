"""Functions of other projects, taken at run time from a file of theirs."""

import ast
from collections.abc import Callable
from pathlib import Path

import einops
import torch
import torch.nn.functional as F


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
