"""What there is to train in a cell, and a training with its tests."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mmmambamixer.engine.config import load_config

from .cells import ROOT, config_of
from .results import Results

VARIANTS = {
    'TSM2-MLP': {'model.variate_mixer': 'mlp'},
    'Mamba + linear time': {'model.time_mixer': 'linear', 'model.variate_scans': 1},
    'no averaging': {'model.averaging': False},
    'no 2-D norm': {'model.norm': 'token'},
}
"""Ablations, by name: what they change in a config."""
COVARIATES = {'TSM2 with covariates': '', 'TSM2 without covariates': '_alone'}
"""Models on Beijing, by name: the end of the name of their config."""
BLEND, MIXERS, ALONE = 'best_blend_mse', 'best_blend_mixers_mse', 'best_forecast_mse'
"""Beginnings of the names of the best checkpoints; the last without a linear path."""


@dataclass
class Training:
    """A config to train, and the models that its checkpoints are.

    Args:
        scores: Checkpoint and prefix of the metrics, by the model in the results.
        end: End of the config's name.
        folder: End of the name of its folder.
        changes: Further options.
    """

    scores: dict[str, tuple[str, str]]
    end: str = ''
    folder: str = ''
    changes: dict = field(default_factory=dict)


def trainings(cell: str, kind: str = 'models') -> Iterator[Training]:
    """Yield what there is to train in a cell: 'models', 'variants' or 'covariates'."""
    if kind == 'covariates':
        for name, end in COVARIATES.items():
            yield Training({name: (ALONE, 'forecast')}, end, end)
    elif kind == 'variants':
        for name, changes in VARIANTS.items():
            scores = {name: (BLEND, 'forecast'), f'{name}, mixers': (MIXERS, 'mixers')}
            yield Training(scores, '', f'-{name.replace(" ", "-")}', changes)
    else:
        ours = {'TSM2': (BLEND, 'forecast'), 'line': (BLEND, 'line')}
        if same_mixers(cell):
            yield Training(ours | {'TSM2-paper': (MIXERS, 'mixers')})
        else:
            yield Training(ours)
            yield Training({'TSM2-paper': (ALONE, 'forecast')}, '_paper', '-paper')


def same_mixers(cell: str) -> bool:
    """Return whether the two configs of a cell differ in the linear path at most."""
    models = [load_config(*config_of(cell, end)).model for end in ('', '_paper')]
    for model in models:
        model.pop('linear_path', None)
    return models[0] == models[1]


def train_and_test(
    results: Results, cell: str, seed: int, training: Training, work_dir: Path
) -> None:
    """Train a config and score its best checkpoints, each in a process of its own.

    What is finished, in the folder of the run or in the results, is not repeated.

    Raises:
        RuntimeError: If a process fails; the message names its log.
    """
    if results.has(cell, training.scores, seed):
        return
    config, options = config_of(cell, training.end)
    options |= {'randomness.seed': seed, **training.changes}
    given = ['--cfg-options', *(f'{key}={value}' for key, value in options.items())]
    folder = work_dir / f'{cell}-{seed}{training.folder}'
    if not (folder / 'finished').exists():
        call('train.py', config, folder, ['--work-dir', folder, *given])
        (folder / 'finished').touch()
    found = {}
    for model, (best, prefix) in training.scores.items():
        (checkpoint,) = folder.glob(f'{best}_epoch_*.pth')
        epoch = checkpoint.stem.rpartition('_')[2]  # of two names it is often one
        if epoch not in found:
            out = folder / f'epoch_{epoch}.json'
            arguments = [checkpoint, '--work-dir', folder / 'test', '--out', out]
            call(
                'test.py', config, folder, [*arguments, '--out-item', 'metrics', *given]
            )
            found[epoch] = json.loads(out.read_text())
        results.add(cell, model, seed, found[epoch], prefix)


def call(tool: str, config: Path, folder: Path, arguments: list) -> None:
    """Run one of the tools on one thread; its output goes to a log in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f'{Path(tool).stem}.txt'
    command = [sys.executable, ROOT / 'tools' / tool, config, *arguments]
    threads = dict.fromkeys(
        ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS'), '1'
    )
    with open(log, 'w') as file:
        process = subprocess.run(
            list(map(str, command)),
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **threads},
        )
    if process.returncode:
        last = log.read_text().strip().splitlines()[-1:]
        raise RuntimeError(f'{tool} failed on {config}, see {log}: {" ".join(last)}')
