"""What a checkpoint says of itself, as the text that safetensors can hold."""

import json
from collections.abc import Mapping

import torch
from torch import Tensor

from .plain import KIND, to_plain

KEY = 'mmmambamixer.meta'
"""Where the text lies in the metadata of a safetensors file."""


def meta_to_text(meta: Mapping) -> str:
    """Return a checkpoint's `meta` as JSON, from which it comes back as it was.

    Args:
        meta: Strings, numbers, arrays, tensors, None, and dicts, lists and tuples.

    Raises:
        ValueError: If it holds an object of another kind.
    """
    return json.dumps(_encoded(to_plain(meta)))


def meta_from_text(text: str) -> dict:
    """Return what `meta_to_text` was given, in the form of `to_plain`.

    Raises:
        ValueError: If the text was not written by it.
    """
    meta = _decoded(json.loads(text))
    if not isinstance(meta, dict):
        raise ValueError(f'expected a dict, got {type(meta).__name__}')
    return meta


def _encoded(value):
    if isinstance(value, dict):
        if KIND not in value and all(isinstance(key, str) for key in value):
            return {key: _encoded(item) for key, item in value.items()}
        return {
            KIND: 'dict',
            'values': _encoded([list(pair) for pair in value.items()]),
        }
    if isinstance(value, list):
        return [_encoded(item) for item in value]
    if isinstance(value, tuple):
        return {KIND: 'tuple', 'values': _encoded(list(value))}
    if isinstance(value, Tensor):
        dtype = str(value.dtype).removeprefix('torch.')
        return {KIND: 'Tensor', 'dtype': dtype, 'values': value.tolist()}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ValueError(
        f'meta holds a {type(value).__name__}, which cannot be written as text'
    )


def _decoded(value):
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    if not isinstance(value, dict):
        return value
    kind = value.get(KIND)
    if kind == 'Tensor':
        return torch.tensor(value['values'], dtype=getattr(torch, value['dtype']))
    if kind in ('dict', 'tuple'):
        return {'dict': dict, 'tuple': tuple}[kind](_decoded(value['values']))
    return {key: _decoded(item) for key, item in value.items()}
