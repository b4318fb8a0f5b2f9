"""A run of seconds that has all that makes a resume hard.

Dropout, augmentation in the dataset, batch norm, AdamW, a schedule for each iteration,
EMA, and validation. Each rank notes the losses of its iterations as hexadecimal
numbers, so that equal means equal to the last bit.
"""

import os
import random
import signal
from itertools import count
from pathlib import Path

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import Hook
from mmengine.model import BaseModel, MMDistributedDataParallel
from mmengine.registry import MODEL_WRAPPERS
from torch import nn
from torch.utils.data import Dataset

from mmmambamixer.engine import SafeRunner

SAMPLES, BATCH, EPOCHS, WIDTH = 24, 4, 6, 16
RUNS = count()


class Noisy(Dataset):
    """Samples whose augmentation uses the three sources of random numbers.

    Args:
        scale: Of the noise; none is added for validation.
    """

    def __init__(self, scale: float = 0.1) -> None:
        self.scale = scale

    def __len__(self) -> int:
        return SAMPLES

    def __getitem__(self, index: int) -> dict:
        x = torch.linspace(-1, 1, WIDTH) * (index + 1) / SAMPLES
        noise = torch.randn(WIDTH) + random.random() + float(np.random.rand())
        x = x + self.scale * noise
        return dict(x=x, y=torch.tensor(float(index % 3)), index=index)


class Toy(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.factor = 1.0
        self.layers = nn.Sequential(
            nn.Linear(WIDTH, WIDTH),
            nn.BatchNorm1d(WIDTH),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Linear(WIDTH, 1),
        )

    def forward(self, x, y, index, mode='tensor'):
        error = (self.layers(x).squeeze(1) - y).square().mean() * self.factor
        return dict(loss=error) if mode == 'loss' else [error.item()]


class Mean(BaseMetric):
    def process(self, data_batch, data_samples) -> None:
        self.results += data_samples

    def compute_metrics(self, results) -> dict:
        return dict(error=sum(results) / len(results))


@MODEL_WRAPPERS.register_module()
class OnCPU(MMDistributedDataParallel):
    """DDP without the device that MMEngine asks for."""

    def __init__(self, module, device_ids=None, **kwargs) -> None:
        super().__init__(module=module, **kwargs)


class Note(Hook):
    """Write each iteration's samples and loss, and each validation's error.

    `act` is called before each iteration.
    """

    priority = 'HIGHEST'

    def __init__(self, path: Path, act=None) -> None:
        self.path, self.act = path, act

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        if self.act:
            self.act(runner)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        samples = data_batch['index'].tolist()
        self._write(runner.iter, outputs['loss'].detach(), samples)

    def after_val_epoch(self, runner, metrics=None) -> None:
        self._write(f'validation-{runner.iter}', metrics['error'], [])

    def _write(self, place: int | str, number: float, samples: list) -> None:
        with open(f'{self.path}-{get_rank()}', 'a') as file:
            file.write(f'{place} {float(number).hex()} {samples}\n')


class Poison:
    """Make the loss, or a gradient, not a number in one iteration of one rank."""

    def __init__(self, kind: str, at: int, rank: int) -> None:
        self.kind, self.at, self.rank = kind, at, rank

    def __call__(self, runner) -> None:
        model = getattr(runner.model, 'module', runner.model)
        if get_rank() != self.rank:
            return
        if self.kind == 'loss':
            model.factor = float('nan') if runner.iter == self.at else 1.0
        elif runner.iter == self.at:
            weight = model.layers[0].weight
            self.hook = weight.register_hook(lambda gradient: gradient * float('inf'))
        elif runner.iter == self.at + 1:
            self.hook.remove()


class Ask:
    """Ask one rank to end in one of its iterations."""

    def __init__(self, at: int, rank: int) -> None:
        self.at, self.rank = at, rank

    def __call__(self, runner) -> None:
        if (runner.iter, get_rank()) == (self.at, self.rank):
            os.kill(os.getpid(), signal.SIGTERM)


def run(
    folder: Path,
    *,
    resume: bool = True,
    by_epoch: bool = True,
    workers: int = 0,
    interval: int = 1,
    keep: int = 1,
    epochs: int = EPOCHS,
    act=None,
    launcher: str = 'none',
    runner_type=SafeRunner,
    hooks: tuple = (),
    checkpoint: str = 'CheckpointHook',
    **settings,
) -> SafeRunner:
    """Train the toy in a folder, from where it stopped, and return the runner."""
    folder.mkdir(parents=True, exist_ok=True)
    ranks = int(os.environ.get('WORLD_SIZE', 1))
    iterations = epochs * SAMPLES // BATCH // ranks
    sampler = 'DefaultSampler' if by_epoch else 'InfiniteSampler'
    loader = dict(
        dataset=Noisy(),
        batch_size=BATCH,
        num_workers=workers,
        persistent_workers=workers > 0,
        collate_fn=dict(type='default_collate'),
    )
    length = epochs if by_epoch else iterations
    train_cfg = dict(by_epoch=by_epoch, val_interval=2 if by_epoch else 5)
    train_cfg['max_epochs' if by_epoch else 'max_iters'] = length
    torch.manual_seed(0)
    runner = runner_type(
        model=Toy(),
        work_dir=str(folder),
        train_dataloader=dict(loader, sampler=dict(type=sampler, shuffle=True)),
        val_dataloader=dict(
            loader,
            dataset=Noisy(scale=0),
            sampler=dict(type='DefaultSampler', shuffle=False),
        ),
        val_evaluator=Evaluator(Mean()),
        train_cfg=train_cfg,
        val_cfg=dict(),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.02)),
        param_scheduler=dict(
            type='CosineAnnealingLR', T_max=iterations, by_epoch=False
        ),
        default_hooks=dict(
            logger=dict(type='LoggerHook', interval=1000),
            checkpoint=dict(
                type=checkpoint,
                interval=interval,
                by_epoch=by_epoch,
                max_keep_ckpts=keep,
                save_best='error',
                rule='less',
            ),
        ),
        custom_hooks=[
            dict(type='EMAHook', momentum=0.1),
            Note(folder / 'notes', act),
            *hooks,
        ],
        resume=resume,
        launcher=launcher,
        experiment_name=f'toy-{os.getpid()}-{next(RUNS)}',
        randomness=dict(seed=3),
        cfg=dict(model_wrapper_cfg=dict(type='OnCPU')),
        log_level='WARNING',
        **settings,
    )
    runner.train()
    return runner
