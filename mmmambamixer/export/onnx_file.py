"""From a network to an ONNX file of standard operators."""

import inspect
import logging
import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..messages import LONGEST
from .networks import Network

NEEDED = ('onnx', 'onnxscript', 'onnxruntime')
OLDEST_OPSET = 18
"""Which torch's exporter writes; it converts to no older one."""


def check_installed() -> None:
    """Raise RuntimeError if a package that exporting needs is not installed."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise RuntimeError(
            f'exporting needs {", ".join(NEEDED)}, and {" and ".join(missing)} '
            f'cannot be found; install with `pip install {" ".join(missing)}`'
        )


def check_opset(opset: int) -> None:
    """Raise ValueError unless an opset can be written and checked here."""
    import onnx

    newest = onnx.defs.onnx_opset_version()
    if not OLDEST_OPSET <= opset <= newest:
        raise ValueError(
            f'--opset must be from {OLDEST_OPSET}, the oldest that the exporter of '
            f'torch {torch.__version__} writes, to {newest}, the newest of onnx '
            f'{onnx.__version__}; got {opset}'
        )


def write_onnx(
    network: Network,
    path: Path,
    *,
    sizes: Mapping[str, int],
    open_axes: frozenset[str],
    opset: int,
    metadata: Mapping[str, str],
    closed: bool = False,
) -> int:
    """Write an ONNX file; return its number of nodes.

    Args:
        network: In eval mode.
        path: Of the file.
        sizes: Of each axis that the inputs name; an example where it is open.
        open_axes: Those that stay open.
        opset: Of the standard operators.
        metadata: For the file's `metadata_props`.
        closed: Whether bodies of scans read their own inputs only (`pass_captures`).

    Raises:
        RuntimeError: If torch cannot export the network.
    """
    from .scan_bodies import pass_captures, type_inputs
    from .translations import TRANSLATIONS

    logging.getLogger('onnxscript').setLevel(logging.ERROR)  # it tells what it skips
    examples = tuple(entry.draw(sizes) for entry in network.inputs.values())
    dynamic: list[Any] = [
        {i: axis for i, axis in enumerate(entry.axes) if axis in open_axes}
        for entry in network.inputs.values()
    ]
    named = count_named(network.module)
    if len(dynamic) > named:
        dynamic[named:] = [tuple(dynamic[named:])]
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            program = torch.onnx.export(
                network.module,
                examples,
                dynamo=True,
                dynamic_shapes=tuple(dynamic),
                custom_translation_table=TRANSLATIONS,
                opset_version=opset,
                input_names=list(network.inputs),
                output_names=list(network.outputs),
                verbose=False,
            )
    except Exception as error:  # of many kinds, and many lines
        reason = str(error.__cause__ or error).strip().partition('\n')[0]
        raise RuntimeError(
            f'torch {torch.__version__} cannot export this {network.task} network '
            f'({type(error).__name__}: {reason[:LONGEST]})'
        ) from error
    model = program.model
    simplify(model)
    type_inputs(model)
    if closed:
        pass_captures(model)
    model.metadata_props.update(metadata)
    program.save(path, external_data=False)
    return sum(1 for _ in model.graph.all_nodes())


def count_named(module: nn.Module) -> int:
    """Return how many inputs `forward` names, before a `*` that takes the others."""
    parameters = inspect.signature(module.forward).parameters.values()
    return sum(one.kind is not one.VAR_POSITIONAL for one in parameters)


def simplify(model) -> None:
    """Merge equal nodes, and drop what tells where in Python each came from."""
    from onnx_ir.passes.common import (
        CommonSubexpressionEliminationPass,
        RemoveUnusedNodesPass,
    )

    for merge in (CommonSubexpressionEliminationPass(), RemoveUnusedNodesPass()):
        merge(model)
    model.graph.metadata_props.clear()
    for node in model.graph.all_nodes():
        node.doc_string = None
        node.metadata_props.clear()
        for value in node.outputs:
            value.metadata_props.clear()
