"""Time and peak memory of ViM2-T and stock networks by the size of the image.

    python benchmarks/resolution.py [--device cuda] [--threads 2] [--seconds 280]

ViM2-T beside Swin-T, DeiT-S/16 and ConvNeXt-T of mmpretrain, each with average pooling
and a linear classifier: random weights and images, fp32, batch 1. Inference; a training
step (forward, loss, backward); the same with `with_cp`, where a network has it.

Each case runs in a process of its own. The memory is the peak during its first call
beyond what it held before, so without weights and image: resident memory on CPU,
tensors on CUDA. The time is the median of the calls after it, one to nine. A case that
does not fit into the free memory gets a row that says so. `--seconds` stops between two
cases; the same command goes on. Writes results/resolution_cpu.json or ..._gpu.json.
"""

import argparse
import gc
import json
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from mmpretrain.models import ConvNeXt, SwinTransformer, VisionTransformer
from report import environment, write
from scan_worker import forget_peak, status
from swin import OURS, Classifier, inference, training_step
from timing import gpu, load, quartiles, timer
from torch import nn

from mmmambamixer import ViM2

RESULTS = Path(__file__).parent / 'results'
SIZES = (224, 448, 672, 896, 1120, 1344)
BUDGET, MOST_CALLS = 4.0, 9
"""Seconds of the calls of a case that are timed, and how many at most."""

NETWORKS = {
    OURS: lambda size, **cp: Classifier(ViM2(arch='tiny', **cp)),
    'Swin-T': lambda size, **cp: Classifier(
        SwinTransformer(arch='tiny', pad_small_map=True, **cp)
    ),
    'ViT-S': lambda size: Classifier(vit(size), width=384),
    'ConvNeXt-T': lambda size, **cp: Classifier(
        ConvNeXt(arch='tiny', gap_before_final_norm=False, **cp)
    ),
}
WITHOUT_CHECKPOINTS = ('ViT-S',)
STEPS = {
    'inference': (inference, {}),
    'training step': (training_step, {}),
    'training step, with_cp': (training_step, dict(with_cp=True)),
}


def vit(size: int) -> nn.Module:
    return VisionTransformer(arch='deit-small', img_size=size, out_type='featmap')


def cases(sizes: list[int]) -> list[dict]:
    """Return what is measured, small images first."""
    return [
        dict(network=network, size=size, step=step)
        for size in sizes
        for step, (_, options) in STEPS.items()
        for network in NETWORKS
        if not (options and network in WITHOUT_CHECKPOINTS)
    ]


def limit_memory() -> None:
    """Let an allocation fail that the machine has no free memory for."""
    fields = Path('/proc/meminfo').read_text().split()
    free = int(fields[fields.index('MemAvailable:') + 1]) * 1024
    most = status('VmData') + free * 9 // 10
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def measure(case: dict, device: str) -> dict:
    """Return time and peak memory of a case, or that memory did not suffice."""
    torch.manual_seed(0)
    make, options = STEPS[case['step']]
    network = NETWORKS[case['network']](case['size'], **options).to(device)
    images = torch.randn(1, 3, case['size'], case['size'], device=device)
    call = make(network, images)
    parameters = sum(x.numel() for x in network.backbone.parameters())
    try:
        peak = peak_of_first(call, device)
        seconds, spent = [], 0.0
        while not seconds or (spent < BUDGET and len(seconds) < MOST_CALLS):
            seconds.append(timer(device)(call, 1))
            spent += seconds[-1]
    except (MemoryError, RuntimeError) as error:  # torch's allocators raise the second
        if 'memory' not in str(error):
            raise
        return dict(case, parameters=parameters, failed='out of memory')
    low, middle, high = (float(f'{x:.4g}') for x in quartiles(seconds))
    return dict(
        case,
        parameters=parameters,
        seconds=middle,
        quartiles=[low, high],
        calls=len(seconds),
        mib=round(peak / 2**20),
    )


def peak_of_first(call: Callable[[], object], device: str) -> int:
    """Return the peak memory of a call, in bytes, beyond what there was before."""
    if device == 'cuda':
        gc.collect()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return torch.cuda.max_memory_allocated() - before
    forget_peak()
    before = status('VmRSS')
    limit_memory()
    call()
    return max(0, status('VmHWM') - before)


def work(case: dict, device: str, threads: int, to: Connection) -> None:
    torch.set_num_threads(threads)
    facts = dict(threads=threads, device=gpu() if device == 'cuda' else 'cpu')
    to.send((measure(case, device), facts))


def measure_apart(case: dict, device: str, threads: int) -> tuple[dict, dict]:
    """Run `measure` in a process of its own, which has all imports already.

    Raises:
        SystemExit: If that process ends without a result.
    """
    context = multiprocessing.get_context('fork')
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=work, args=(case, device, threads, there))
    child.start()
    there.close()
    try:
        return here.recv()
    except EOFError:
        child.join()
        raise SystemExit(f'{case} ended with status {child.exitcode}') from None
    finally:
        child.join()


def arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cpu')
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    parser.add_argument('--sizes', type=int, nargs='+', default=SIZES)
    parser.add_argument('--seconds', type=float, default=float('inf'))
    parser.add_argument('--out', type=Path)
    args = parser.parse_args(argv)
    end = dict(cpu='cpu', cuda='gpu')[args.device]
    args.out = args.out or RESULTS / f'resolution_{end}.json'
    return args


def main(argv: list[str] | None = None) -> None:
    argv = sys.argv[1:] if argv is None else argv
    args = arguments(argv)
    begun, before = time.monotonic(), load()
    report = json.loads(args.out.read_text()) if args.out.is_file() else {}
    rows = report.get('rows', [])
    wanted = cases(args.sizes)
    for case in wanted:
        if any(case.items() <= row.items() for row in rows):
            continue
        if time.monotonic() - begun > args.seconds:
            break
        row, facts = measure_apart(case, args.device, args.threads)
        rows.append(row)
        command = ' '.join(['python benchmarks/resolution.py', *argv])
        report = dict(command=command, **{**environment(), **facts})
        report |= dict(load_before=before, load_after=load(), rows=rows)
        write(args.out, report)
        print(row, flush=True)
    left = sum(not any(c.items() <= row.items() for row in rows) for c in wanted)
    print(f'{left} cases are left: the same command goes on' if left else args.out)


if __name__ == '__main__':
    main()
