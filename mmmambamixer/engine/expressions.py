"""Entries of a config that follow from others, such as `horizon='${horizon}'`.

MMEngine merges files and options, so what a file computes does not change with an
option that comes later. An entry `'${...}'` is an expression of the names at the top of
the config, computed when all is merged:

    horizon = 96
    model = dict(horizon='${horizon}', dropout='${0.5 if horizon >= 336 else None}')
"""

import ast
import re
from collections.abc import Iterable
from copy import deepcopy
from typing import Any

from mmengine.config import Config

from ..messages import did_you_mean, explain
from ..preflight.config import OTHERS, RUNNER

EXPRESSION = re.compile(r'\$\{(.*)\}', re.DOTALL)
ALLOWED = (
    ast.Expression,
    ast.IfExp,
    ast.Compare,
    ast.BoolOp,
    ast.UnaryOp,
    ast.Name,
    ast.Constant,
    ast.Load,
    ast.cmpop,
    ast.boolop,
    ast.unaryop,
)
"""Nodes of an expression: no call and no attribute, so that it cannot run code."""


def resolve(config: Config | dict) -> None:
    """Replace the expressions in what a runner reads by their values, in place.

    An expression that is None leaves its entry out. A name that an expression reads is
    removed from the top of the config, unless the runner reads it too: all that follows
    from it is decided. Without expressions nothing changes.

    Args:
        config: With all options merged.

    Raises:
        ValueError: If an expression is malformed, or reads a name that is missing or
            depends on itself; the message names the entry.
    """
    top = config._cfg_dict if isinstance(config, Config) else config
    values, read = Values(top), RUNNER | OTHERS
    settle(top, values, '', [key for key in top if key in read])
    for name in values.keys() - read:
        top.pop(name, None)


class Values(dict):
    """Values of the names at the top of a config, computed at the first look-up.

    Args:
        top: The config.
    """

    def __init__(self, top: dict) -> None:
        super().__init__()
        self.top, self.pending = dict(dict.items(top)), []

    def __missing__(self, name: str) -> Any:
        if name not in self.top:
            raise ValueError(
                f"the config has no '{name}'; give it at the top of the config"
                + did_you_mean(name, self.top)
            )
        if name in self.pending:
            raise ValueError(f"'{name}' depends on itself")
        self.pending.append(name)
        self[name] = settle(self.top[name], self, name)
        self.pending.pop()
        return self[name]


def settle(value: Any, values: Values, place: str, keys: Iterable | None = None) -> Any:
    """Return an entry without expressions; dicts are changed in place.

    Args:
        value: Of the entry.
        values: What its expressions read.
        place: Its name in messages: keys with dots between.
        keys: Those of a dict to look into; None is all.
    """
    if isinstance(value, str):
        match = EXPRESSION.fullmatch(value)
        return evaluate(match[1], values, place) if match else value
    if isinstance(value, dict):
        for key in list(value if keys is None else keys):
            old = dict.get(value, key)  # ConfigDict's own would import lazy modules
            new = settle(old, values, f'{place}.{key}' if place else str(key))
            if new is None and old is not None:
                del value[key]
            elif new is not old:
                value[key] = new
    elif isinstance(value, (list, tuple)):
        pairs = [(x, settle(x, values, f'{place}.{i}')) for i, x in enumerate(value)]
        if any(old is not new for old, new in pairs):
            kept = [new for old, new in pairs if new is not None or old is None]
            return type(value)(kept)
    return value


def evaluate(text: str, values: Values, place: str) -> Any:
    """Return the value of an expression.

    Raises:
        ValueError: Names the entry, the expression and what is wrong.
    """
    try:
        tree = ast.parse(text.strip(), mode='eval')
        if not all(isinstance(node, ALLOWED) for node in ast.walk(tree)):
            raise SyntaxError('only names, constants, comparisons, and, or, not, if')
        found = eval(compile(tree, place, 'eval'), {'__builtins__': {}}, values)
    except (SyntaxError, TypeError, ValueError) as error:
        told = error.msg if isinstance(error, SyntaxError) else explain(error)
        raise ValueError(f"{place} is '${{{text}}}': {told}") from error
    return deepcopy(found)
