"""Whether an ONNX file computes what the network does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..messages import LONGEST
from .networks import Network


@dataclass(frozen=True)
class Limits:
    """What two computations may differ by.

    Args:
        values: Largest difference over the largest value of an output.
        labels: Share of labels that differ: where two classes tie.
    """

    values: float
    labels: float


FLOAT32 = Limits(values=1e-5, labels=1e-4)
FLOAT16 = Limits(values=2e-2, labels=2e-2)


@dataclass(frozen=True)
class Difference:
    """The largest difference of one run.

    Args:
        sizes: Of the axes.
        output: Name of the output where it is.
        value: As in `Limits`.
        allowed: The limit for that output.
    """

    sizes: Mapping[str, int]
    output: str
    value: float
    allowed: float

    @property
    def excess(self) -> float:
        """Multiple of what is allowed."""
        return self.value / self.allowed if np.isfinite(self.value) else np.inf

    def __str__(self) -> str:
        told = ', '.join(f'{axis} {size}' for axis, size in self.sizes.items())
        return f'{self.value:.1e} in {self.output!r} at {told}'


def open_session(path: Path, threads: int = 0):
    """Return an onnxruntime session on the CPU; 0 threads are as many as it wants.

    Raises:
        RuntimeError: If it cannot load the file, as of an opset that it does not know.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(
            str(path), options, providers=['CPUExecutionProvider']
        )
    except Exception as error:  # it has kinds of its own
        reason = ' '.join(str(error).split())[:LONGEST]
        raise RuntimeError(
            f'onnxruntime {onnxruntime.__version__} cannot load the file: {reason}'
        ) from error


def differences(
    network: Network, path: Path, runs: Sequence[Mapping[str, int]], limits: Limits
) -> list[Difference]:
    """Return for each run the output that differs most, measured by its limit.

    Args:
        network: The truth, in torch.
        path: The file.
        runs: Sizes of the open axes of each run.
        limits: What is allowed.
    """
    session = open_session(path)
    found = []
    for sizes in runs:
        given = {name: entry.draw(sizes) for name, entry in network.inputs.items()}
        with torch.no_grad():
            expected = network.module(*given.values())
        results = session.run(None, {name: x.numpy() for name, x in given.items()})
        found.append(
            max(
                (
                    _difference(sizes, name, truth.numpy(), result, limits)
                    for name, truth, result in zip(
                        network.outputs, expected, results, strict=True
                    )
                ),
                key=lambda one: one.excess,
            )
        )
    return found


def _difference(sizes, name, truth, result, limits: Limits) -> Difference:
    if truth.shape != result.shape:
        raise ValueError(
            f'{name!r} has shape {result.shape} in the file, {truth.shape} in torch'
        )
    if np.issubdtype(truth.dtype, np.integer):
        return Difference(sizes, name, float(np.mean(truth != result)), limits.labels)
    largest = np.abs(truth).max(initial=0) or 1.0
    value = float(np.abs(result - truth).max(initial=0) / largest)
    return Difference(sizes, name, value, limits.values)
