"""Time and memory of a training step of TSM2, by variates and by look-back.

    python benchmarks/forecasting_cost.py

One window a step, horizon 96, the sizes of configs/_base_/tsm2, one thread, the median
of several steps after one to warm up. Memory is what autograd keeps from the forward to
the backward. Writes results/forecasting_cost.json and, for docs/forecasting.md,
resources/forecasting_cost.png.
"""

import argparse
import statistics
import time
from pathlib import Path

import matplotlib
import torch
from report import environment, write

from mmmambamixer import TSM2

matplotlib.use('agg')
import matplotlib.pyplot as plt
from matplotlib.ticker import LogLocator

ROOT = Path(__file__).parents[1]
VARIATES = (8, 16, 32, 64, 128, 256, 512)
LOOK_BACKS = (512, 1024, 2048, 4096)
STEPS = 7


def measure(variates: int, look_back: int) -> dict:
    """Return seconds and MiB of a step."""
    torch.manual_seed(0)
    model = TSM2(variates=variates, look_back=look_back, horizon=96, stride=16)
    past, future = torch.randn(1, look_back, variates), torch.randn(1, 96, variates)
    torch.nn.init.normal_(model.head.weight, std=0.01)
    times = []
    for _ in range(STEPS + 1):
        kept = {}

        def keep(x: torch.Tensor, kept=kept) -> torch.Tensor:
            storage = x.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
            return x

        start = time.perf_counter()
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
            loss = model(past, future, mode='loss')['loss']
        loss.backward()
        times.append(time.perf_counter() - start)
        model.zero_grad()
    return dict(
        variates=variates,
        look_back=look_back,
        seconds=statistics.median(times[1:]),
        mib=sum(kept.values()) / 2**20,
    )


def draw(rows: list[dict], path: Path) -> None:
    figure, axes = plt.subplots(2, 2, figsize=(8, 5.5), layout='constrained')
    for column, (key, label) in enumerate(
        dict(variates='variates', look_back='look-back, steps').items()
    ):
        other = 'look_back' if key == 'variates' else 'variates'
        fixed = min(row[other] for row in rows)
        line = sorted((r for r in rows if r[other] == fixed), key=lambda r: r[key])
        for row, (unit, name) in enumerate(
            dict(seconds='training step, s', mib='kept for the backward, MiB').items()
        ):
            axis = axes[row][column]
            x, y = [r[key] for r in line], [r[unit] for r in line]
            axis.loglog(x, y, 'o-', label='measured')
            axis.loglog(x, [y[-1] * v / x[-1] for v in x], 'k:', label='linear')
            axis.set_xticks(x, x)
            axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.yaxis.set_major_formatter('{x:g}')
            axis.minorticks_off()
            axis.set(xlabel=label, ylabel=name)
            axis.grid(alpha=0.3)
    axes[0][0].legend()
    figure.savefig(path, dpi=110)


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    torch.set_num_threads(1)
    sizes = [(m, min(LOOK_BACKS)) for m in VARIATES]
    sizes += [(min(VARIATES), t) for t in LOOK_BACKS[1:]]
    rows = [measure(*size) for size in sizes]
    for row in rows:
        print(row)
    report = dict(environment(), command='python benchmarks/forecasting_cost.py')
    path = ROOT / 'benchmarks' / 'results' / 'forecasting_cost.json'
    write(path, dict(report, rows=rows))
    draw(rows, ROOT / 'resources' / 'forecasting_cost.png')


if __name__ == '__main__':
    main()
