"""Measure the memory (MiB) that `with_cp` saves at 1344 x 800; gradients stay equal.

    OMP_NUM_THREADS=1 python benchmarks/checkpoint_memory.py

One image, forward and backward in fp32 on the CPU, of ViM2-T and of the whole Mask
R-CNN of configs/detection, each in a process of its own. Memory is the most that the
process held resident (VmHWM) beyond what it held before the forward: without weights
and image, with the gradients. It is measured twice: `released`, where the allocator
returns freed maps to the system at once, is what the network needs; `glibc`, the
default, adds what the heap keeps. Writes benchmarks/results/checkpoint_memory.json.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from mmengine.registry import MODELS, init_default_scope
from report import environment, write
from torch import Tensor, nn

import mmmambamixer.patches  # noqa: F401  (`mmdet::` bases)
from mmmambamixer.engine.config import load_config

ROOT = Path(__file__).parents[1]
CONFIG = 'configs/detection/mask-rcnn_vim2-t_fpn_1x_coco.py'
RESULTS = Path(__file__).parent / 'results' / 'checkpoint_memory.json'
HEIGHT, WIDTH, BOXES = 800, 1344, 8
ALLOCATORS = {
    'released': dict(MALLOC_MMAP_THRESHOLD_='131072', MALLOC_TRIM_THRESHOLD_='131072'),
    'glibc': {},
}


def prepare(name: str, with_cp: bool) -> tuple[nn.Module, Callable[[], Tensor]]:
    """Return the model in training mode and a function that computes its loss."""
    from mmdet.testing import demo_mm_inputs

    config = load_config(ROOT / CONFIG)
    config.model.backbone.with_cp = with_cp
    init_default_scope('mmdet')
    torch.manual_seed(0)
    model = MODELS.build(config.model).train()
    shapes = [(3, HEIGHT, WIDTH)]
    batch = demo_mm_inputs(1, image_shapes=shapes, num_items=[BOXES], with_mask=True)
    data = model.data_preprocessor(batch, training=True)
    if name == 'mask_rcnn':
        return model, lambda: model.parse_losses(model(**data, mode='loss'))[0]
    image = data['inputs']
    return model.backbone, lambda: sum(y.square().mean() for y in model.backbone(image))


def resident(field: str) -> float:
    """Return VmRSS (now) or VmHWM (at most so far) of this process in MiB."""
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise ValueError(f'/proc/self/status has no {field}')


def measure(name: str, with_cp: bool, gradients: Path) -> int:
    """Run one step in this process; write the gradients, return MiB."""
    torch.set_num_threads(1)
    model, loss = prepare(name, with_cp)
    before = resident('VmRSS')
    loss().backward()
    peak = resident('VmHWM')
    torch.save({key: p.grad for key, p in model.named_parameters()}, gradients)
    return round(peak - before)


def measure_apart(name: str, with_cp: bool, gradients: Path, variables: dict) -> int:
    """Run `measure` in a process of its own with these environment variables."""
    command = [sys.executable, __file__, '--one', name, str(int(with_cp)), gradients]
    run = subprocess.run(
        command,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return int(run.stdout.splitlines()[-1])


def largest_difference(a: Path, b: Path) -> float:
    """Return the largest difference of a gradient, relative to its norm."""
    a, b = (torch.load(path, weights_only=True) for path in (a, b))
    if a.keys() != b.keys():
        raise ValueError(f'gradients of other parameters: {a.keys() ^ b.keys()}')
    return max(
        ((a[key] - b[key]).norm() / a[key].norm().clamp(min=1e-12)).item() for key in a
    )


def compare(name: str) -> dict:
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f'{kind}.pth' for kind in ('kept', 'recomputed')]
        for allocator, variables in ALLOCATORS.items():
            kept, recomputed = (
                measure_apart(name, with_cp, file, variables)
                for with_cp, file in enumerate(files)
            )
            ratio = round(kept / recomputed, 2)
            figures[allocator] = dict(kept=kept, with_cp=recomputed, ratio=ratio)
            print(f'{name}, {allocator}: {kept} MiB, {recomputed} MiB, {ratio} x')
        figures['gradient_difference'] = largest_difference(*files)
    print(f'{name}: gradients differ by {figures["gradient_difference"]:.1e}')
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--one', nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        name, with_cp, gradients = args.one
        print(measure(name, with_cp == '1', Path(gradients)))
        return
    results = {name: compare(name) for name in ('backbone', 'mask_rcnn')}
    report = dict(
        command='OMP_NUM_THREADS=1 python benchmarks/checkpoint_memory.py',
        **environment(),
        image=[3, HEIGHT, WIDTH],
        results=results,
    )
    write(RESULTS, report)


if __name__ == '__main__':
    main()
