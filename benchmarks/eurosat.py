"""Train the EuroSAT configs and tabulate what their logs say.

    python benchmarks/eurosat.py run [--jobs 2] [--only NAME ...]
    python benchmarks/eurosat.py table

`run` trains every (config, seed) of `RUNS` that has no finished log yet, each on one
thread; `table` reads the logs, writes benchmarks/results/eurosat.json (a row for each
run, with machine, versions and commit) and prints the table of docs/eurosat.md.
"""

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from report import environment

ROOT = Path(__file__).parents[1]
WORK = ROOT / 'work_dirs' / 'eurosat'
RESULTS = ROOT / 'benchmarks' / 'results' / 'eurosat.json'
RUNS = {  # name of the config: what it is, seeds
    'vim2': ('ViM2, four channel scans, averaging', (0, 1)),
    'resnet18': ('ResNet-18 (stock mmpretrain)', (0, 1)),
    'convnext-atto': ('ConvNeXt-Atto (stock mmpretrain)', (0, 1)),
    'vim2-token-only': ('token mixers only', (0,)),
    'vim2-mlp': ('ViM2-MLP: MLP, no averaging', (0,)),
    'vim2-scans1': ('one channel scan', (0,)),
    'vim2-scans2': ('two channel scans', (0,)),
    'vim2-no-averaging': ('no averaging', (0,)),
}


def work_dir(name: str, seed: int) -> Path:
    return WORK / f'{name}-seed{seed}'


def scalars(name: str, seed: int) -> list[dict]:
    """Return the logged lines of the newest run in the work folder."""
    logs = sorted(work_dir(name, seed).glob('*/vis_data/scalars.json'))
    return [json.loads(line) for line in logs[-1].open()] if logs else []


def accuracies(name: str, seed: int) -> dict[int, float]:
    """Return the test accuracy in per cent after each epoch that was tested."""
    lines = scalars(name, seed)
    return {x['step']: x['accuracy/top1'] for x in lines if 'accuracy/top1' in x}


def epochs() -> int:
    from mmengine.config import Config

    config = Config.fromfile(ROOT / 'configs' / 'eurosat' / 'vim2_eurosat.py')
    return config.train_cfg.max_epochs


def train(name: str, seed: int) -> None:
    print(f'{name} seed {seed}: training, log {work_dir(name, seed)}.log', flush=True)
    config = f'configs/eurosat/{name}_eurosat.py'
    command = [sys.executable, 'tools/train.py', config]
    command += ['--work-dir', str(work_dir(name, seed))]
    command += ['--cfg-options', f'randomness.seed={seed}']
    WORK.mkdir(parents=True, exist_ok=True)
    with open(f'{work_dir(name, seed)}.log', 'w') as log:
        subprocess.run(
            command,
            cwd=ROOT,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, 'OMP_NUM_THREADS': '1'},
            check=True,
        )
    print(f'{name} seed {seed}: {accuracies(name, seed)}', flush=True)


def run(jobs: int, only: list[str]) -> None:
    last = epochs()
    todo = [
        (name, seed)
        for name, (_, seeds) in RUNS.items()
        for seed in seeds
        if (not only or name in only) and last not in accuracies(name, seed)
    ]
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(lambda job: train(*job), todo))


def parameters(name: str) -> int:
    """Return the number of parameters of the whole classifier."""
    import mmpretrain.models  # noqa: F401
    from mmengine.config import Config
    from mmengine.registry import MODELS, init_default_scope

    config = Config.fromfile(ROOT / 'configs' / 'eurosat' / f'{name}_eurosat.py')
    init_default_scope('mmpretrain')
    return sum(p.numel() for p in MODELS.build(config.model).parameters())


def table() -> None:
    rows = []
    last = epochs()
    for name, (what, seeds) in RUNS.items():
        reached = {seed: accuracies(name, seed).get(last) for seed in seeds}
        missing = [seed for seed, value in reached.items() if value is None]
        if missing:
            print(f'{name}: no finished log of seeds {missing}', file=sys.stderr)
            continue
        for seed, value in reached.items():
            steps = [x['time'] for x in scalars(name, seed) if 'loss' in x]
            rows.append(
                dict(
                    config=f'configs/eurosat/{name}_eurosat.py',
                    network=what,
                    seed=seed,
                    epochs=last,
                    parameters=parameters(name),
                    top1=round(value, 2),
                    seconds_per_iteration=round(sum(steps) / len(steps), 3),
                )
            )
    report = dict(command='python benchmarks/eurosat.py table', **environment())
    RESULTS.write_text(json.dumps(dict(**report, rows=rows), indent=1) + '\n')
    print('| network | parameters | top-1, each seed | mean |\n|---|--:|--:|--:|')
    for name, (what, _) in RUNS.items():
        mine = [row for row in rows if f'/{name}_' in row['config']]
        if mine:
            values = [row['top1'] for row in mine]
            print(
                f'| {what} | {mine[0]["parameters"] / 1e6:.2f} M '
                f'| {", ".join(f"{v:.2f}" for v in values)} '
                f'| {sum(values) / len(values):.2f} |'
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest='command', required=True)
    runs = commands.add_parser('run')
    runs.add_argument('--jobs', type=int, default=2, help='trainings at a time')
    runs.add_argument('--only', nargs='*', default=[], choices=RUNS)
    commands.add_parser('table')
    args = parser.parse_args()
    run(args.jobs, args.only) if args.command == 'run' else table()


if __name__ == '__main__':
    main()
