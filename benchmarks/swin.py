"""Time ViM2-T beside the stock Swin-T of mmpretrain on CPU, and see where it goes.

    python benchmarks/swin.py [--batch 8] [--threads 2] [--rounds 7] [--compiled]

Both backbones have global average pooling and a linear classifier behind them; random
weights and images, fp32. Inference, and a training step: forward, loss, backward. They
take turns in one process. With --compiled ViM2-T comes through torch.compile too, after
minutes of compiling. The shares of kinds of operators in ViM2-T are those of the time
that PyTorch's profiler saw on the CPU. Writes benchmarks/results/swin_cpu.json.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from mmpretrain.models import SwinTransformer
from report import environment, write
from timing import cpu_seconds, interleave, load, ratio, summary
from torch import Tensor, nn

from mmmambamixer import ViM2

RESULTS = Path(__file__).parent / 'results' / 'swin_cpu.json'
SIZE, WIDTH, CLASSES = 224, 768, 1000
OURS = 'ViM2-T'
KINDS = {
    'scan': ('selective_scan',),
    'scan_conv': ('scan_conv',),
    'weighted_sum': ('weighted_sum',),
    'matrix products': ('mm', 'linear', 'einsum'),
    'convolutions': ('conv',),
    'norms': ('norm',),
}
"""By kind, parts of the names of its operators; the first that fits counts."""

REST = 'the rest'


class Classifier(nn.Module):
    """A backbone, the mean of its last map, and a linear classifier."""

    def __init__(self, backbone: nn.Module, width: int = WIDTH) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(width, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.backbone(images)[-1].mean((2, 3)))


def networks(compiled: bool) -> dict[str, nn.Module]:
    torch.manual_seed(0)
    found = {
        OURS: Classifier(ViM2(arch='tiny')),
        'Swin-T': Classifier(SwinTransformer(arch='tiny')),
    }
    if compiled:
        found[f'{OURS}, compiled'] = torch.compile(found[OURS], fullgraph=True)
    return found


def inference(network: nn.Module, images: Tensor) -> Callable[[], object]:
    """Return the call of a forward in evaluation mode."""

    @torch.no_grad()
    def call() -> Tensor:
        return network.eval()(images)

    return call


def training_step(network: nn.Module, images: Tensor) -> Callable[[], object]:
    """Return the call of a forward, cross-entropy and backward in training mode."""
    targets = torch.arange(len(images), device=images.device) % CLASSES

    def call() -> None:
        network.train().zero_grad()
        F.cross_entropy(network(images), targets).backward()

    return call


STEPS = {'inference': inference, 'training step': training_step}


def kind_of(operator: str) -> str:
    """Return the kind of an operator of the profiler, as 'aten::addmm'."""
    name = operator.split('::')[-1]
    for kind, parts in KINDS.items():
        if any(part in name for part in parts):
            return kind
    return REST


def shares(call: Callable[[], object]) -> dict[str, float]:
    """Return the percentage of the CPU's time by kind of operator."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as p:
        call()
    times = defaultdict(float)
    for event in p.key_averages():
        times[kind_of(event.key)] += event.self_cpu_time_total
    total = sum(times.values())
    kinds = (*KINDS, REST)
    return {kind: float(f'{100 * times[kind] / total:.3g}') for kind in kinds}


def measure(images: Tensor, rounds: int, compiled: bool) -> tuple[list[dict], dict]:
    """Return a row for each network and step, and the shares by step."""
    rows, parts = [], {}
    models = networks(compiled)
    for step, make in STEPS.items():
        calls = {name: make(network, images) for name, network in models.items()}
        for call in calls.values():
            call()
        timed = interleave(calls, cpu_seconds, rounds, float('inf'))
        for name, network in models.items():
            row = dict(network=name, step=step, **summary(timed[name]))
            row['ms_per_image'] = float(f'{1e3 * row["seconds"] / len(images):.4g}')
            row['ratio_to_swin'] = ratio(timed[name], timed['Swin-T'])
            row['parameters'] = sum(x.numel() for x in network.backbone.parameters())
            rows.append(row)
            print(row, flush=True)
        parts[step] = shares(calls[OURS])
        print(f'{step}, shares in %: {parts[step]}', flush=True)
    return rows, parts


def main(argv: list[str] | None = None) -> None:
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--batch', type=int, default=8)
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--compiled', action='store_true', help='torch.compile too')
    parser.add_argument('--out', type=Path, default=RESULTS)
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    report = dict(
        command=' '.join(['python benchmarks/swin.py', *argv]),
        **environment(),
        load_before=load(),
        batch=args.batch,
        size=SIZE,
    )
    images = torch.randn(args.batch, 3, SIZE, SIZE)
    rows, parts = measure(images, args.rounds, args.compiled)
    report |= dict(load_after=load(), rows=rows, shares=parts)
    write(args.out, report)
    print(f'wrote {args.out}')


if __name__ == '__main__':
    main()
