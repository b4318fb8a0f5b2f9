"""How the tools speak: errors in one sentence, and the name that was meant."""

import inspect
import os
import re
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path

from mmengine.registry import Registry
from torch.utils.data import DataLoader

from .layer_errors import explain_layer

AT_FAULT = (
    *(ValueError, TypeError, KeyError, OSError, RuntimeError),
    *(ImportError, AssertionError),
)
SCHEDULER = 'end should be larger than begin, but got '
LONGEST = 400
"""Characters of a sentence of others; some print whole configs."""
MOST = 4000
"""Characters of a message with a table; torch lists every tensor of a model."""
SHOWN = 8
"""Names of a list in a message."""


def explain(error: BaseException) -> str:
    """Return an error as one sentence, with the name that may have been meant.

    Ours, which are ValueErrors and FileNotFoundErrors, stay as they are.
    """
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    if text.startswith(SCHEDULER):
        return (
            'an epoch has too few iterations for param_scheduler: one of its parts is '
            f'shorter than one ({text.removeprefix(SCHEDULER)}); take smaller '
            'batches, or give begin and end in iterations, with by_epoch=False'
        )
    if layer := explain_layer(error):
        return layer
    if isinstance(error, ImportError):
        return explain_import(error)
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f'{error.filename}: {error.strerror}'
    if isinstance(error, (ValueError, OSError, RuntimeError)):
        return cut(text, MOST) or type(error).__name__
    if isinstance(error, AssertionError) and not text:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f'{place.name} of {Path(place.filename).name} needs: {place.line}'
    text = text.split(' Please check whether')[0].partition('\n')[0]
    if not text:
        return type(error).__name__
    if isinstance(error, KeyError) and ' ' not in text:
        return f"there is no '{text}', which is needed"
    if match := re.match(r'(\S+) is not in the [\w: ]+ registry', text):
        registry = innermost(error, 'registry')
        known = names_in(registry) if isinstance(registry, Registry) else ()
        text = text.rstrip('.') + did_you_mean(match[1], known)
    elif match := re.search(r"unexpected keyword argument '(\w+)'", text):
        loader = text.startswith('DataLoader.')  # which the runner makes by itself
        kind = DataLoader if loader else innermost(error, 'obj_cls')
        text += did_you_mean(match[1], arguments_of(kind))
    return cut(text, LONGEST)


def cut(text: str, longest: int) -> str:
    """Return a text, or its beginning and dots if it is longer."""
    return text if len(text) <= longest else f'{text[:longest]}...'


def explain_import(error: ImportError) -> str:
    """Return which part of a config needs a package that is not there."""
    text = cut(' '.join(str(error).split()), LONGEST)
    owner = type(innermost(error, 'self')).__name__
    asked = re.search(r'pip install (?:-\S+ )*"?(?:git\+\S+/)?([\w.-]+)', text)
    name = asked[1].rstrip('.').removesuffix('.git') if asked else error.name
    missing = asked or isinstance(error, ModuleNotFoundError)
    if not missing or not name or owner == 'NoneType':
        return f'a module that is needed cannot be imported: {text}'
    return (
        f'{owner} needs the package {name}, which is not installed: install it, or '
        f'leave {owner} out of the config'
    )


def innermost(error: BaseException, name: str, *functions: str):
    """Return a variable of the innermost function in the traceback that has it.

    Args:
        error: With its traceback.
        name: Name of the variable.
        *functions: Names of the functions to look into; all, if there is none.
    """
    found, step = None, error.__traceback__
    while step is not None:
        if not functions or step.tb_frame.f_code.co_name in functions:
            found = step.tb_frame.f_locals.get(name, found)
        step = step.tb_next
    return found


def names_in(registry: Registry) -> Iterator[str]:
    """Yield what a family of registries knows, with and without the scope."""
    todo = [registry.root]
    while todo:
        part = todo.pop()
        todo += part.children.values()
        for name in part.module_dict:
            yield name
            yield f'{part.scope}.{name}'


def arguments_of(kind: type | None) -> Iterator[str]:
    """Yield the names that a class and those it inherits from take."""
    for base in inspect.getmro(kind) if inspect.isclass(kind) else ():
        if '__init__' in vars(base) and base is not object:
            yield from list(inspect.signature(vars(base)['__init__']).parameters)[1:]


@contextmanager
def one_sentence(errors: type[Exception] | tuple[type[Exception], ...] = AT_FAULT):
    """End the program with one sentence where what the user gave is at fault.

    `MMMAMBAMIXER_TRACEBACK=1` shows where the error was raised.

    Args:
        errors: Those that end so. By default many, for the phase in which a config
            becomes a runner: there they are about names, files and arguments.
    """
    try:
        yield
    except errors as error:
        if os.environ.get('MMMAMBAMIXER_TRACEBACK') == '1':
            raise
        raise SystemExit(f'error: {explain(error)}') from error


class TrainingStopped(RuntimeError):
    """A run cannot go on; the message says why, and what can be resumed from."""


def few(names: Iterable) -> str:
    """Return the first names of a list in a row, and how many there are."""
    names = list(map(str, names))
    told = [n if len(n) <= LONGEST // SHOWN else f'{n[:47]}...' for n in names[:SHOWN]]
    return (', '.join(told) or 'none') + (
        f', ... ({len(names)})' if len(names) > SHOWN else ''
    )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` with the known name that is like this one, or ''.

    A name that ends in this one after a dot or slash goes before all others.
    """
    name, known = str(name), sorted({*known} - {name})
    ends = f'.{name}', f'/{name}'
    close = [other for other in known if other.endswith(ends)]
    close = close or get_close_matches(name, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else ''
