"""CPU tensors through the GPU's kernels, in Triton's interpreter."""

import importlib

import torch
from fuzz_cases import Case

from mmmambamixer.ops.backend import op_names

KERNELS = 'triton'
LIBRARY = torch.library.Library('mmmambamixer', 'IMPL')
OPS = op_names()
"""The ops that have Triton kernels."""
MOST = 100
"""Programs times steps times states, about."""
MOST_TILES = 300
"""Of `scan_conv`: programs, which own so many STEPS and FEATURES, scans and taps."""
STEPS, FEATURES = 16, 64


def fits(case: Case) -> bool:
    """Return whether the interpreter can run a call, in some seconds.

    That of Triton 3.6 turns fp64 into bf16 by reading other bits. Few calls are empty.
    """
    if {'float64', 'bfloat16'} <= {*case['dtypes'], *case.get('tensors', ())}:
        return False
    if case['op'] == 'weighted_sum':
        return True
    if case['op'] == 'gated_norm':
        return case['b'] * case['l'] <= MOST
    if case['op'] == 'scan_conv':
        tiles = case['b'] * -(-case['l'] // STEPS) * -(-case['d'] // FEATURES)
        return tiles * len(case['routes']) * case['t'] <= MOST_TILES
    if case['op'] == 'selective_scan':
        scans, channels, steps = case['g'], case['c'], case['l']
        if 'dn' in (case['B'], case['C']):  # every channel has its own
            scans, channels = scans * channels, 1
    else:
        scans, channels = len(case['routes']), case['d']
        steps = case['height'] * case['width']
    programs = case['b'] * scans * -(-channels // 32)
    if programs * steps == 0 and case['n'] != 1:
        return False
    return programs * (steps + 10) * case['n'] <= MOST


def install() -> None:
    """Replace the CPU kernels of this process.

    The environment has to have had TRITON_INTERPRET=1 before anything imported triton.
    """
    for op in OPS:
        gpu = importlib.import_module(f'mmmambamixer.ops.{op}.gpu')
        for name, function in ((op, gpu.forward), (f'{op}_backward', gpu.backward)):
            LIBRARY.impl(name, function, 'CPU', allow_override=True)
