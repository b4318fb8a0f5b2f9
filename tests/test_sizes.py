"""How large functions, constructors and folders may be, docstrings not counted."""

import ast
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
PARTS = ('mmmambamixer', 'ops', 'tools')
MOST_LINES = 50
MOST_ARGUMENTS = 12
MOST_FILES = 15
CONSTRUCTORS = {
    'ViM2': 'published: the names are those of configs',
    'TSM2': 'published: each of its ablations and extensions is an argument',
    'SeriesDataset': 'published: the names are those of configs',
    'SeriesForecaster': 'published: the model, its data and its training in one call',
}
"""Constructors with more arguments, and why."""
Function = ast.FunctionDef | ast.AsyncFunctionDef


def is_kernel(function: Function) -> bool:
    """Return whether Triton compiles it, where every local name is a register."""
    return any('jit' in ast.unparse(one) for one in function.decorator_list)


def lines_of(function: Function) -> int:
    """Return the lines of a body, from the first statement after the docstring."""
    statements = function.body[1:] if ast.get_docstring(function) else function.body
    return statements[-1].end_lineno - statements[0].lineno + 1 if statements else 0


def arguments_of(function: Function) -> int:
    """Return how many arguments a method takes beside `self`."""
    given = function.args
    return len(given.posonlyargs + given.args + given.kwonlyargs) - 1


def long_functions(tree: ast.AST) -> dict[str, int]:
    return {
        node.name: lines_of(node)
        for node in ast.walk(tree)
        if isinstance(node, Function)
        and not is_kernel(node)
        and lines_of(node) > MOST_LINES
    }


def wide_constructors(tree: ast.AST) -> dict[str, int]:
    return {
        owner.name: arguments_of(node)
        for owner in ast.walk(tree)
        if isinstance(owner, ast.ClassDef)
        for node in owner.body
        if isinstance(node, Function)
        and node.name == '__init__'
        and arguments_of(node) > MOST_ARGUMENTS
    }


def found(measure) -> dict[str, dict[str, int]]:
    """Return what a measure finds in each file, where it finds something."""
    files = [path for part in PARTS for path in sorted((ROOT / part).rglob('*.py'))]
    trees = {path.relative_to(ROOT): ast.parse(path.read_text()) for path in files}
    return {str(path): most for path, tree in trees.items() if (most := measure(tree))}


def test_functions_fit_a_screen():
    assert found(long_functions) == {}


def test_constructors_with_many_arguments_are_known():
    names = {name for most in found(wide_constructors).values() for name in most}
    assert names == {*CONSTRUCTORS}


def test_folders_of_the_package_are_seen_at_a_glance():
    files = [path for part in PARTS[:2] for path in (ROOT / part).rglob('*.py')]
    most = Counter(str(path.parent.relative_to(ROOT)) for path in files)
    assert {name: n for name, n in most.items() if n > MOST_FILES} == {}


def test_the_measures_see_what_is_too_large():
    steps = '\n'.join(f'    x = {i}' for i in range(MOST_LINES))
    short = f'def f():\n    """Say\n\n    more."""\n{steps}\n'
    kernel = f'@triton.jit\ndef k():\n{steps}\n    x = 0\n'
    tree = ast.parse(f'{short}\n{kernel}\nasync def g():\n{steps}\n    x = 0\n')
    assert long_functions(tree) == {'g': MOST_LINES + 1}
    names = ', '.join(f'a{i}' for i in range(MOST_ARGUMENTS))
    tree = ast.parse(
        f'class A:\n    def __init__(self, {names}): ...\n'
        f'class B:\n    def __init__(self, *, {names}, b=1): ...\n'
    )
    assert wide_constructors(tree) == {'B': MOST_ARGUMENTS + 1}
