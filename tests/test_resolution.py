"""Cost against resolution: whole files, peaks of memory, what does not fit is told."""

import importlib
import json
from pathlib import Path

import pytest
import torch
from warm import FRAMEWORKS, python

pytest.importorskip('mmpretrain')
BENCHMARKS = Path(__file__).parents[1] / 'benchmarks'


@pytest.fixture
def resolution(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module('resolution')


RUN = """
import sys

import resolution

resolution.BUDGET = 0
args = ['--sizes', '32', '--threads', '1', '--out', sys.argv[1]]
resolution.main([*args, '--seconds', '-1'])
own = {n: f for n, f in resolution.NETWORKS.items() if n in ('ViM2-T', 'ViT-S')}
resolution.NETWORKS = own
resolution.main(args)
resolution.measure_apart = None
resolution.main(args)  # nothing is left to measure
"""


def test_cost_by_resolution_is_measured_and_goes_on(tmp_path):
    path = tmp_path / 'r.json'
    ran = python('-c', RUN, path, imported=FRAMEWORKS, PYTHONPATH=str(BENCHMARKS))
    assert ran.returncode == 0, ran.stderr
    assert '11 cases are left' in ran.stdout
    rows = json.loads(path.read_text())['rows']
    steps = ['inference', 'training step', 'training step, with_cp']
    assert [r['step'] for r in rows if r['network'] == 'ViM2-T'] == steps
    assert [r['step'] for r in rows if r['network'] == 'ViT-S'] == steps[:2]
    gradients = [4 * r['parameters'] / 2**20 for r in rows if r['step'] == steps[1]]
    peaks = [r['mib'] for r in rows if r['step'] == steps[1]]
    assert all(a < b for a, b in zip(gradients, peaks, strict=True))
    assert all(r['seconds'] > 0 and r['calls'] == 1 for r in rows)


def test_what_exceeds_the_memory_is_told(resolution, monkeypatch):
    def greedy(network, images):
        return lambda: torch.zeros(2**46)

    monkeypatch.setitem(resolution.STEPS, 'inference', (greedy, {}))
    case = dict(network='ViT-S', size=32, step='inference')
    row, _ = resolution.measure_apart(case, 'cpu', 1)
    assert row == dict(case, parameters=row['parameters'], failed='out of memory')
