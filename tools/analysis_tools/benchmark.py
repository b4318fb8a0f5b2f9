"""Measure how many images a model takes per second, and its memory.

    python tools/analysis_tools/benchmark.py CONFIG [--checkpoint FILE]
    python tools/analysis_tools/benchmark.py CONFIG --train --amp --out result.json

Measured is a test step: from a batch of random bytes in the memory of the CPU to the
results, post-processing included, loading of images not. With `--train` it is a
training step on random annotations: forward, losses, backward and AdamW. How many
objects a detector has to post-process depends on its weights; without a checkpoint
they are those of the start.

Each step is timed by itself, after the GPU has finished. `--amp` runs in bfloat16 by
autocast. The peak memory is that of tensors on a GPU, else that of the whole process.
"""

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

import mmmambamixer.patches  # noqa: F401  (safe checkpoints, `mmdet::` bases)
from mmmambamixer.engine.build import build_model, load_weights
from mmmambamixer.engine.config import add_options, add_size, load_config
from mmmambamixer.engine.device import add_device, check_device
from mmmambamixer.engine.fake_batch import SHAPES, fake_batch
from mmmambamixer.env import describe
from mmmambamixer.messages import one_sentence
from mmmambamixer.preflight.model import head_classes, input_channels


def test_step(model: nn.Module, batch: dict, autocast: Callable) -> list:
    with torch.no_grad(), autocast():
        return model.test_step(batch)


def train_step(
    model: nn.Module, batch: dict, autocast: Callable, optimizer: torch.optim.Optimizer
) -> Tensor:
    """Return the loss before the step."""
    with autocast():
        data = model.data_preprocessor(batch, training=True)
        loss, _ = model.parse_losses(model(**data, mode='loss'))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def make_step(args: argparse.Namespace, model: nn.Module, batch: dict) -> Callable:
    autocast: Callable[[], AbstractContextManager] = partial(
        torch.autocast, torch.device(args.device).type, torch.bfloat16, args.amp
    )
    if not args.train:
        return partial(test_step, model.eval(), batch, autocast)
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=1e-5)
    return partial(train_step, model, batch, autocast, optimizer)


def tensors(value) -> Iterator[Tensor]:
    """Yield the tensors in lists, tuples and data samples."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from tensors(item)
    elif isinstance(value, BaseDataElement):
        yield from tensors(value.values())


def check_finite(model: nn.Module, batch: dict, result) -> None:
    """Raise unless results and feature maps are finite; detectors drop NaN silently.

    Raises:
        ValueError: If there are infinite numbers or NaN.
    """
    model.eval()
    with torch.no_grad():
        inputs = model.data_preprocessor(batch, False)['inputs']
        maps = model.extract_feat(inputs)
    for name, value in (('results', result), ('feature maps', maps)):
        wrong = [t for t in tensors(value) if t.is_floating_point()]
        count = sum(int((~t.isfinite()).sum()) for t in wrong)
        if count:
            raise ValueError(f'the {name} have {count} numbers that are not finite')


def measure(step: Callable, args: argparse.Namespace) -> list[float]:
    """Return the seconds of each step, after those that warm up."""
    synchronize = torch.cuda.synchronize if 'cuda' in args.device else lambda: None
    for _ in range(args.warm_up):
        step()
    seconds, end = [], time.perf_counter() + args.seconds
    while len(seconds) < args.steps or time.perf_counter() < end:
        synchronize()
        start = time.perf_counter()
        step()
        synchronize()
        seconds.append(time.perf_counter() - start)
    return seconds


def peak_memory(device: str) -> float:
    """Return MiB: of tensors on a GPU since the start, else of the process."""
    if 'cuda' in device:
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def report(args: argparse.Namespace, seconds: list[float]) -> dict:
    """Return the measurement with its conditions."""
    low, median, high = statistics.quantiles(seconds, n=4, method='inclusive')
    on_gpu = 'cuda' in args.device
    return dict(
        config=args.config,
        checkpoint=args.checkpoint,
        step='training' if args.train else 'test',
        batch_size=args.batch_size,
        shape=list(args.shape),
        dtype='bfloat16 autocast' if args.amp else 'float32',
        device=torch.cuda.get_device_name() if on_gpu else 'CPU',
        threads=torch.get_num_threads(),
        warm_up=args.warm_up,
        steps=len(seconds),
        images_per_second=args.batch_size / median,
        ms_per_image=1000 * median / args.batch_size,
        ms_per_image_quartiles=[1000 * s / args.batch_size for s in (low, high)],
        peak_memory_mib=peak_memory(args.device),
        peak_memory_of='tensors on the GPU' if on_gpu else 'the process',
        environment=describe(),
    )


def summary(result: dict) -> str:
    """Return four lines: what, where, how fast, how much memory."""
    low, high = result['ms_per_image_quartiles']
    return (
        '{config}: {step} step, batch {batch_size}, {shape[0]} x {shape[1]}, {dtype}\n'
        '{device}, {threads} threads, torch {environment[torch]}, '
        '{steps} steps after {warm_up}\n'
        '{images_per_second:.2f} images/s, {ms_per_image:.1f} ms/image '
        f'(median; quartiles {low:.1f} and {high:.1f})\n'
        'peak memory of {peak_memory_of}: {peak_memory_mib:.0f} MiB'
    ).format(**result)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('--checkpoint', help='weights; it must fit exactly')
    parser.add_argument('--train', action='store_true', help='a training step')
    parser.add_argument('--amp', action='store_true', help='bfloat16 by autocast')
    parser.add_argument('--batch-size', type=int, default=1)
    add_size(parser, '--shape', 'of the image')
    parser.add_argument('--warm-up', type=int, default=3, help='steps not measured')
    parser.add_argument('--steps', type=int, default=10, help='at least so many')
    parser.add_argument('--seconds', type=float, default=5, help='at least so long')
    parser.add_argument('--threads', type=int, help='threads of torch on the CPU')
    add_device(parser)
    parser.add_argument('--out', help='JSON file of the result and its conditions')
    add_options(parser, 'model.backbone.d_state=8')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    with one_sentence():
        if args.steps < 2:
            raise ValueError(f'--steps must be 2 or more, got {args.steps}')
        config = load_config(args.config, args.cfg_options)
        scope = config.get('default_scope')
        args.shape = tuple(args.shape or SHAPES.get(scope, ()))
        check_device(args.device)
        model = build_model(config)
        if args.checkpoint is not None:
            load_weights(model, args.checkpoint)
        model.to(args.device)
        classes = min(head_classes(model).values(), default=1)
        channels = input_channels(model) or 3
        batch = fake_batch(
            scope, args.batch_size, args.shape, channels=channels, classes=classes
        )
        step = make_step(args, model, batch)
        seconds = measure(step, args)
        result = report(args, seconds)
        check_finite(model, batch, step())
    print(summary(result))
    if args.out:
        with open(args.out, 'w') as file:
            json.dump(result, file, indent=1)


if __name__ == '__main__':
    main()
