"""Calls of the ops leave no memory behind: the process does not grow.

Measured in a process of its own, after a warm-up. `-m slow` makes 10,000 calls.
"""

import textwrap
from pathlib import Path

import pytest
from warm import python

MEBIBYTE = 1 << 20

SETUP = """
import os
import sys
import torch
from mmmambamixer.ops import *
from mmmambamixer.ops.testing import cross_inputs, evaluate, scan_inputs

torch.set_num_threads(1)
scan, cross = scan_inputs(2, 17, 40, 3, z=True), cross_inputs(2, 4, 35, 17)
conv = dict(v=torch.randn(2, 19, 40), weight=torch.randn(4, 4), bias=torch.randn(4))
each = conv | dict(weight=torch.randn(4, 4, 40), bias=torch.randn(4, 40))
norm = dict(x=torch.randn(2, 40, 19).mT, z=torch.randn(2, 19, 40))
norm |= dict(weight=torch.ones(40), bias=torch.ones(40))
sums = dict(weights=torch.randn(3), **{f'x{i}': torch.randn(40, 50) for i in range(3)})
kept = []

def call():
    evaluate(selective_scan, scan, delta_softplus=True, return_last_state=True)
    evaluate(cross_selective_scan, cross, routes=CROSS, height=5, width=7)
    evaluate(scan_conv, conv, routes=CROSS)
    evaluate(scan_conv, each, routes=CROSS, silu=True)
    evaluate(gated_norm, norm)
    evaluate(lambda weights, **x: weighted_sum(x.values(), weights), sums)

def leaking():
    call()
    kept.append(torch.ones(1000))  # 4 KB of each call

def resident():
    return int(open('/proc/self/statm').read().split()[1]) * os.sysconf('SC_PAGE_SIZE')

def grown(function, calls):
    for _ in range(200):
        function()
    before = resident()
    for _ in range(calls):
        function()
    return resident() - before
"""


def growth(calls: int) -> tuple[int, int]:
    """Return by how many bytes `calls` forward and backward passes grow a process.

    First as they are, then with a leak of 4 KB each.
    """
    code = textwrap.dedent(SETUP)
    code += f'print(grown(call, {calls}), grown(leaking, {calls}))'
    result = python('-c', code)
    assert result.returncode == 0, result.stderr[-3000:]
    grown, leaked = map(int, result.stdout.split())
    return grown, leaked


@pytest.mark.skipif(
    not Path('/proc/self/statm').exists(), reason='needs /proc of Linux'
)
@pytest.mark.parametrize('calls', [600, pytest.param(10_000, marks=pytest.mark.slow)])
def test_all_ops_forward_and_backward(calls):
    grown, leaked = growth(calls)
    assert grown < MEBIBYTE
    assert leaked > MEBIBYTE, 'a leak would not be seen'
