"""Time what a safe checkpoint costs beside MMEngine's own.

    python benchmarks/checkpoint_cost.py

Checkpoints of ViM2-T with the state of AdamW, written by `CheckpointHook` and by
`SafeCheckpointHook` in turn into the same folder, each keeping one, now the one first,
now the other. Stock returns when the system has the bytes, ours when they are on the
disk, so stock is timed once more until its file is synced too. Prints medians and the
lowest and highest time, and writes benchmarks/results/checkpoint_cost.json.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path
from statistics import median

import torch
from mmengine.hooks import CheckpointHook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from report import environment, write
from torch.utils.data import DataLoader

from mmmambamixer import ViM2
from mmmambamixer.engine import SafeCheckpointHook

STOCK = 'CheckpointHook'
RESULTS = Path(__file__).parent / 'results' / 'checkpoint_cost.json'


class Backbone(BaseModel):
    """ViM2-T with a loss that gives every weight a gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = ViM2(arch='tiny')

    def forward(self, x, mode='tensor') -> dict:
        return dict(loss=sum(value.square().mean() for value in self.parameters()))


def make_runner(folder: str) -> Runner:
    """Return a runner that has made one step, so that AdamW has its state."""
    runner = Runner(
        model=Backbone(),
        work_dir=folder,
        train_dataloader=DataLoader([dict(x=torch.zeros(1))]),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=1e-3)),
        default_hooks=dict(checkpoint=None),
        experiment_name='checkpoint_cost',
        log_level='ERROR',
    )
    runner.train()
    return runner


def measure(folder: str, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each save, by hook."""
    runner, seconds = make_runner(folder), {}
    hooks = [
        kind(interval=1, max_keep_ckpts=1, out_dir=os.path.join(folder, kind.__name__))
        for kind in (CheckpointHook, SafeCheckpointHook)
    ]
    for hook in hooks:
        hook.before_train(runner)
    for number in range(rounds + 1):
        for hook in hooks if number % 2 else hooks[::-1]:
            os.sync()  # what the other one left to write
            name = type(hook).__name__
            started = time.perf_counter()
            hook._save_checkpoint_with_step(runner, number, dict(epoch=number))
            taken = {name: time.perf_counter() - started}
            if name == STOCK:
                sync(hook.last_ckpt)
                taken[f'{STOCK}, synced'] = time.perf_counter() - started
            for key, value in taken.items() if number else ():  # the first warms up
                seconds.setdefault(key, []).append(value)
    return seconds


def sync(path: str) -> None:
    """Wait until a file is on the disk."""
    with open(path, 'rb') as file:
        os.fsync(file.fileno())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--rounds', type=int, default=15)
    parser.add_argument('--folder', help='where to write; by default the temporary one')
    args = parser.parse_args()
    load = os.getloadavg()[0]  # of what else the machine does
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        seconds = measure(folder, args.rounds)
        (path,) = Path(folder).glob('Safe*/*/*.pth')
        size = path.stat().st_size / 2**20
    results = {
        name: dict(median=median(taken), lowest=min(taken), highest=max(taken))
        for name, taken in seconds.items()
    }
    safe = results['SafeCheckpointHook']['median']
    ratios = {
        name: safe / values['median']
        for name, values in results.items()
        if name.startswith(STOCK)
    }
    for name, values in results.items():
        print(name, ', '.join(f'{key} {value:.3f} s' for key, value in values.items()))
    for name, ratio in ratios.items():
        print(f'{size:.0f} MiB, safe / {name}: {ratio:.2f}')
    content = dict(environment(), mebibytes=size, rounds=args.rounds, seconds=results)
    content.update(ratios=ratios, load=load)
    write(RESULTS, content)


if __name__ == '__main__':
    main()
