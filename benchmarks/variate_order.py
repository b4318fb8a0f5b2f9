"""How much the forecast of TSM2 depends on the order in which it scans the variates.

    python benchmarks/variate_order.py CONFIG CHECKPOINT [CONFIG CHECKPOINT ...]

The variates of trained mixers are scanned in the order of the file, backwards, and in
three random orders; weights stay. The error is that of the mixers alone over all test
windows. Writes results/variate_order.json.
"""

import argparse
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from report import environment, write

import mmmambamixer.patches  # noqa: F401  (safe checkpoints)
from mmmambamixer.engine.build import build_model, load_weights
from mmmambamixer.engine.config import load_config
from mmmambamixer.registry import DATASETS

RESULT = Path(__file__).parent / 'results' / 'variate_order.json'


def orders(variates: int) -> dict[str, torch.Tensor]:
    """Return the orders by name."""
    found = {
        'file': torch.arange(variates),
        'backwards': torch.arange(variates).flip(0),
    }
    generator = torch.Generator().manual_seed(0)
    for i in range(3):
        found[f'random {i}'] = torch.randperm(variates, generator=generator)
    return found


@torch.no_grad()
def error(model, windows, order: torch.Tensor) -> float:
    """Return the mean squared error of the mixers with another order of the scan."""
    mixers, back = model.mixers.forward, order.argsort()
    model.mixers.forward = lambda x: mixers(x[:, order])[:, back]
    total, count = 0.0, 0
    for start in range(0, len(windows), 128):
        items = [windows[i] for i in range(start, min(start + 128, len(windows)))]
        past = torch.stack([item['past'] for item in items])
        future = torch.stack([item['future'] for item in items])
        squares = (model.mix_series(past, None, None)[0] - future).double().square()
        total, count = total + squares.sum().item(), count + squares.numel()
    model.mixers.forward = mixers
    return total / count


def measure(path: str, checkpoint: str) -> dict:
    config: Config = load_config(path)
    init_default_scope(config.default_scope)
    model = build_model(config)
    load_weights(model, checkpoint)
    windows = DATASETS.build(config.test_dataloader.dataset)
    names = orders(config.model.variates)
    errors = {
        name: error(model.eval(), windows, order) for name, order in names.items()
    }
    print(path, errors)
    return dict(config=path, windows=len(windows), mse=errors)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('paths', nargs='+', help='CONFIG CHECKPOINT, in turn')
    paths = parser.parse_args().paths
    if len(paths) % 2:
        parser.error(f'expected pairs of CONFIG CHECKPOINT, got {paths}')
    pairs = zip(paths[::2], paths[1::2], strict=True)
    rows = [measure(*pair) for pair in pairs]
    report = dict(environment(), command='python benchmarks/variate_order.py ...')
    write(RESULT, dict(report, rows=rows))


if __name__ == '__main__':
    main()
