"""Export a trained model, and keep the file only if it computes the same."""

import os
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from .check import FLOAT16, FLOAT32, differences
from .metadata import metadata
from .networks import BATCH, HEIGHT, WIDTH, Network
from .onnx_file import check_installed, check_opset, write_onnx
from .trained import halved, load_network

OPEN = frozenset({BATCH, HEIGHT, WIDTH})
EXAMPLE = {BATCH: 2, HEIGHT: 96, WIDTH: 128}
"""Of open axes while exporting: sizes of 1, or equal ones, might be taken for all."""
OTHER_SIZES = ((1, 37, 53), (4, 224, 224), (1, 320, 200))
"""Batch, height and width at which a file with open axes is checked."""


@dataclass(frozen=True)
class Options:
    """What may be chosen.

    Args:
        shape: Height and width of the images, or None for that of the config.
        dynamic: Leave batch, height and width open.
        opset: Version of the operators.
        fp16: Compute in 16 bits.
        prepared: Take pictures, or series in their own units.
        openvino: Write scans as OpenVINO's reader needs them.
        selection: Give delta of each token mixer too.
    """

    shape: tuple[int, int] | None = None
    dynamic: bool = False
    opset: int = 18
    fp16: bool = False
    prepared: bool = False
    openvino: bool = False
    selection: bool = False


def export(config: Config, checkpoint: str, out: Path, options: Options) -> list[str]:
    """Write an ONNX file; return lines that say what is in it.

    Raises:
        ValueError: If an option, the config or the checkpoint does not fit.
        RuntimeError: If a package is missing, torch cannot export the network, or the
            file computes something else than the network; then there is no file.
    """
    check_installed()
    check_opset(options.opset)
    if out.suffix != '.onnx':
        raise ValueError(f'the file to write must end in .onnx, got {out}')
    if not out.parent.is_dir():
        raise FileNotFoundError(f'there is no folder {out.parent} for {out.name}')
    if out.is_dir():
        raise IsADirectoryError(f'expected a file to write, got the folder {out}')
    network = load_network(
        config, checkpoint, prepared=options.prepared, selection=options.selection
    )
    shape = _shape(network, options)
    open_axes = OPEN if options.dynamic else frozenset()
    draft = out.with_name(f'{out.stem}.draft{os.getpid()}.onnx')
    try:
        nodes = write_onnx(
            halved(network) if options.fp16 else network,
            draft,
            sizes=EXAMPLE if options.dynamic else shape,
            open_axes=open_axes,
            opset=options.opset,
            metadata=metadata(network.task, config, network.facts),
            closed=options.openvino,
        )
        told = _check(network, draft, shape, options)
        os.replace(draft, out)
    finally:
        draft.unlink(missing_ok=True)
    size = out.stat().st_size / 1e6
    first = (
        f'{out}: {network.task}, {nodes} nodes of opset {options.opset}, {size:.1f} MB'
    )
    lines = [first, *_signature(network, shape, open_axes), told]
    return [*lines, f'note: {network.note}'] if network.note else lines


def _shape(network: Network, options: Options) -> dict[str, int]:
    """Return the size of each axis that the inputs name."""
    named = {axis for entry in network.inputs.values() for axis in entry.axes}
    if HEIGHT not in named:
        if options.shape is not None:
            [past] = [e.axes[1:] for n, e in network.inputs.items() if n == 'past']
            raise ValueError(
                f'--shape is for images; this forecaster reads {past[0]} rows of '
                f'{past[1]} variates: leave it out'
            )
        return {BATCH: 1}
    height, width = options.shape or network.facts['input_size']
    return {BATCH: 1, HEIGHT: height, WIDTH: width}


def _check(
    network: Network, path: Path, shape: dict[str, int], options: Options
) -> str:
    """Return a line with the largest difference.

    Raises:
        RuntimeError: If it is larger than allowed.
    """
    runs = [shape] * 3
    if options.dynamic:
        sizes = [dict(zip((BATCH, HEIGHT, WIDTH), s, strict=True)) for s in OTHER_SIZES]
        runs = [{axis: size[axis] for axis in shape} for size in sizes]
    limits = FLOAT16 if options.fp16 else FLOAT32
    found = differences(network, path, runs, limits)
    worst = max(found, key=lambda one: one.excess)
    if not worst.excess <= 1:
        raise RuntimeError(
            f'the exported file differs from the network: {worst}, allowed is '
            f'{worst.allowed:.0e}; nothing was written'
        )
    return f'largest difference to torch in {len(runs)} runs: {worst}'


def _signature(network: Network, shape: dict, open_axes: frozenset[str]) -> list[str]:
    """Return a line for each input, and one that names the outputs."""
    lines = []
    for name, entry in network.inputs.items():
        axes = [a if a in open_axes else shape.get(a, a) for a in entry.axes]
        kind = 'uint8' if entry.pixels else 'float32'
        lines.append(f'input {name}: {kind} ({", ".join(map(str, axes))})')
    return [*lines, f'outputs: {", ".join(network.outputs)}']
