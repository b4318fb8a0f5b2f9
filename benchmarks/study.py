"""Train small networks that differ from ViM2 in one part, with paired seeds.

    python benchmarks/study.py run [--seeds 10]
    python benchmarks/study.py times

`run` appends a row for each training to results/study.csv and leaves out those that it
already has, so it can be stopped at any time; it goes seed by seed, and a second `run`
meanwhile is refused. A seed decides the images for training and for the test, their
order, their distortions and the initial weights, the same for all networks (weights
where the shapes agree). `times` prints the parameters of each network and the time of a
training step. docs/study.md has the plan and the results, tabulated by study_report.py.
"""

import argparse
import csv
import math
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import torch
import torch.nn.functional as F
from study_data import DataSet, digits, eurosat, spoken_digits
from torch import Tensor, nn

from mmmambamixer.evaluation.result_rows import RowsError, held, read_rows
from mmmambamixer.messages import one_sentence
from mmmambamixer.models import ViM2

RESULTS = Path(__file__).parent / 'results' / 'study.csv'
COLUMNS = (
    *('comparison', 'dataset', 'network', 'seed'),
    *('accuracy', 'loss', 'parameters', 'seconds'),
)
CLASSES = 10
WIDTHS = (16, 48)
TRAIN_IMAGES = 384
TEST_IMAGES = 1000
EPOCHS = 10
BATCH = 32
LR = 6e-3
WARM_UP = 0.15
"""Share of the steps."""


class Network(NamedTuple):
    """How a network differs from the default.

    Args:
        text: What it is.
        widths: Channels of the two stages.
        channel_expand: Width inside the channel mixers over channels.
        arguments: More arguments of ViM2.
        mean: Start the averages as the mean of all maps, not as the newest.
        averages_lr: Factor on the learning rate of the averaging weights.
    """

    text: str
    widths: tuple[int, int] = WIDTHS
    channel_expand: int = 2
    arguments: Mapping = MappingProxyType({})
    mean: bool = False
    averages_lr: float = 1.0


DEFAULT = 'default'
TOKEN, MLP = dict(channel_mixer='none'), dict(channel_mixer='mlp')
NETWORKS = {
    'parameters': {
        DEFAULT: Network('ViM2: four channel scans, averages of all earlier maps'),
        'token': Network('token mixers only', (18, 56), arguments=TOKEN),
        'mlp': Network('MLP as channel mixer', channel_expand=3, arguments=MLP),
        'scans1': Network('one channel scan', arguments=dict(channel_scans=1)),
        'scans2': Network('two channel scans', arguments=dict(channel_scans=2)),
        'newest': Network('no averaging', arguments=dict(averaging=False)),
        'window2': Network('averages of 2 maps', arguments=dict(max_connections=2)),
        'window4': Network('averages of 4 maps', arguments=dict(max_connections=4)),
        'averages-lr': Network('10 x learning rate for the averages', averages_lr=10),
        'mean': Network('averages start as the mean', mean=True),
    },
    'time': {
        'token': Network('token mixers only', (34, 104), arguments=TOKEN),
        'mlp': Network('MLP as channel mixer', (32, 96), 3, arguments=MLP),
    },
}
"""By comparison: of equal parameters, of equal time. The default is in both."""


class Classifier(nn.Module):
    """Images `(b, 3, 32, 32)` -> scores `(b, 10)`, by a ViM2 of two stages."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.backbone = ViM2(
            arch=dict(
                embed_dims=network.widths,
                depths=(1, 4),
                channel_expand=(network.channel_expand,) * 2,
            ),
            out_indices=(1,),
            d_state=4,
            grid_size=4,
            drop_path_rate=0.0,
            **network.arguments,
        )
        self.head = nn.Linear(network.widths[-1], CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.backbone(images)[0].mean((2, 3)))


def build(network: Network, seed: int) -> Classifier:
    """Return a network with the default's initial weights where the shapes agree."""
    torch.manual_seed(seed)
    shared = Classifier(NETWORKS['parameters'][DEFAULT]).state_dict()
    model = Classifier(network)
    weights = model.state_dict()
    for name, weight in weights.items():
        if name in shared and shared[name].shape == weight.shape:
            weights[name] = shared[name]
        if network.mean and '.averages.' in name:
            weights[name] = torch.full_like(weight, 1 / len(weight))
    model.load_state_dict(weights)
    return model


def optimizer_of(model: Classifier, network: Network) -> torch.optim.Optimizer:
    """Return AdamW; as in the configs only matrices and convolutions decay."""
    groups = {'decay': [], 'flat': [], 'averages': []}
    for name, weight in model.named_parameters():
        flat = weight.ndim < 2 or name.split('.')[-1] in ('A_log', 'D', 'dt_bias')
        kind = 'averages' if '.averages.' in name else 'flat' if flat else 'decay'
        groups[kind].append(weight)
    return torch.optim.AdamW(
        [
            dict(params=groups['decay'], weight_decay=0.05),
            dict(params=groups['flat']),
            dict(params=groups['averages'], lr=LR * network.averages_lr),
        ],
        lr=LR,
        weight_decay=0.0,
        fused=True,
    )


def train(network: Network, data: DataSet, seed: int) -> dict[str, float]:
    """Train a network and return its row, measured on images not trained on."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(data.images), generator=generator)
    chosen, rest = order[:TRAIN_IMAGES], order[TRAIN_IMAGES:][:TEST_IMAGES]
    test_images = data.for_test(data.images[rest], generator)
    model = build(network, seed)
    optimizer = optimizer_of(model, network)
    steps = EPOCHS * (TRAIN_IMAGES // BATCH)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: rate(step / steps)
    )
    start = time.perf_counter()
    for _ in range(EPOCHS):
        shuffled = chosen[torch.randperm(TRAIN_IMAGES, generator=generator)]
        for indices in shuffled.split(BATCH):
            images = data.for_training(data.images[indices], generator)
            step(model, optimizer, images, data.labels[indices])
            scheduler.step()
    return dict(
        **test(model, test_images, data.labels[rest]),
        parameters=sum(weight.numel() for weight in model.parameters()),
        seconds=round(time.perf_counter() - start, 1),
    )


def rate(progress: float) -> float:
    """Return the factor on the learning rate: a linear warm-up, then half a cosine."""
    return min(1, progress / WARM_UP + 0.01) * (1 + math.cos(math.pi * progress)) / 2


def step(
    model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor
) -> None:
    loss = F.cross_entropy(model(images), labels, label_smoothing=0.1)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 5.0)
    optimizer.step()


@torch.inference_mode()
def test(model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, float]:
    """Return the accuracy in per cent and the mean negative log likelihood."""
    scores = torch.cat([model(part) for part in images.split(128)])
    right = (scores.argmax(1) == labels).float().mean()
    return dict(
        accuracy=round(100 * right.item(), 3),
        loss=round(F.cross_entropy(scores, labels).item(), 4),
    )


def trained() -> list[dict[str, str]]:
    """Return the rows that there are, none of them twice."""
    return read_rows(RESULTS, COLUMNS, keys=4)


def run(datasets: dict[str, DataSet], seeds: range) -> None:
    done = {tuple(row[name] for name in COLUMNS[:4]) for row in trained()}
    for seed in seeds:
        for comparison, networks in NETWORKS.items():
            for dataset, data in datasets.items():
                for name, network in networks.items():
                    key = comparison, dataset, name, str(seed)
                    if key not in done:
                        row = dict(zip(COLUMNS, key, strict=False)) | train(
                            network, data, seed
                        )
                        append(row)


def append(row: dict) -> None:
    with RESULTS.open('a', newline='') as file:
        writer = csv.DictWriter(file, COLUMNS)
        if not file.tell():
            writer.writeheader()
        writer.writerow(row)
    print(*row.values(), flush=True)


def times(rounds: int = 15) -> None:
    """Print the median time of a training step, all networks in turn."""
    images = torch.randn(BATCH, 3, 32, 32)
    labels = torch.arange(BATCH) % CLASSES
    measured = {}
    for comparison, networks in NETWORKS.items():
        for name, network in networks.items():
            model = build(network, 0)
            measured[comparison, name] = model, optimizer_of(model, network), []
    for _ in range(rounds):
        for model, optimizer, seconds in measured.values():
            start = time.perf_counter()
            step(model, optimizer, images, labels)
            seconds.append(time.perf_counter() - start)
    default = statistics.median(measured['parameters', DEFAULT][2])
    for (comparison, name), (model, _, seconds) in measured.items():
        count = sum(weight.numel() for weight in model.parameters())
        median = statistics.median(seconds)
        print(
            f'equal {comparison}: {name:12} {count:7,} parameters, '
            f'{1e3 * median:5.1f} ms, {median / default:.2f} of the default'
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('action', choices=['run', 'times'])
    parser.add_argument('--eurosat', type=Path, default=Path('data/eurosat_3k'))
    parser.add_argument('--spectrograms', type=Path, default=Path('data/spectrograms'))
    parser.add_argument('--seeds', type=int, default=10, help='seeds 0, 1, ...')
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.action == 'times':
        times()
        return
    try:
        datasets = dict(
            digits=digits(),
            eurosat=eurosat(args.eurosat),
            spoken_digits=spoken_digits(args.spectrograms),
        )
    except OSError as error:
        parser.error(str(error))
    with one_sentence(RowsError), held(RESULTS):
        run(datasets, range(args.seeds))


if __name__ == '__main__':
    main()
