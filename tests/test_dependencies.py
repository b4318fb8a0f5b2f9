"""The tested set: every distribution that is needed, at the version that is here."""

import ast
import sys
from importlib.metadata import (
    PackageNotFoundError,
    distribution,
    packages_distributions,
)
from pathlib import Path

import tomllib
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from sources import ROOT

PROJECT = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
EXTRAS = ('openmmlab', 'tensorboard', 'demo', 'export', 'forecast', 'tests')
STAND_IN = {'opencv-python': 'opencv-python-headless'}
"""Pinned for those who can use it; the tested set has the other build of it."""


def pins(path: Path) -> dict[str, str]:
    """Return name and version of what a constraints file pins, included files too."""
    found = {}
    for line in path.read_text().splitlines():
        line = line.partition('#')[0].strip()
        if line.startswith('-c '):
            found |= pins(path.parent / line.removeprefix('-c '))
        elif line:
            name, version = line.split('==')
            found[canonicalize_name(name)] = version
    return found


def asked_for(name: str, extras: frozenset) -> list[Requirement]:
    """Return what an installed distribution requires here with some extras."""
    texts = distribution(STAND_IN.get(name, name)).requires or []
    environments = [dict(extra=extra) for extra in {'', *extras}]
    return [
        requirement
        for requirement in map(Requirement, texts)
        if requirement.marker is None
        or any(map(requirement.marker.evaluate, environments))
    ]


def needed() -> dict[str, str]:
    """Return what the package needs with its extras, and which of these asks for it.

    Most CUDA libraries are left to torch, whose metadata pins them exactly.
    """
    texts = [*PROJECT['dependencies']]
    for extra in EXTRAS:
        texts += PROJECT['optional-dependencies'][extra]
    ends = [('mmmambamixer', requirement) for requirement in map(Requirement, texts)]
    found, seen = {}, set()
    for parent, requirement in ends:
        name = canonicalize_name(requirement.name)
        extras = frozenset(requirement.extras)
        if (name, extras) in seen or (parent == 'torch' and is_exact(requirement)):
            continue
        seen.add((name, extras))
        found.setdefault(name, f'{requirement}, asked for by {parent}')
        ends += [(name, child) for child in asked_for(name, extras)]
    return found


def is_exact(requirement: Requirement) -> bool:
    return [s.operator for s in requirement.specifier] == ['==']


def test_everything_needed_is_pinned():
    pinned = pins(ROOT / 'constraints.txt')
    assert {name: why for name, why in needed().items() if name not in pinned} == {}
    assert len(needed()) > 50, 'the walk finds what is needed'


def test_the_pins_are_what_is_tested():
    chosen = pins(ROOT / 'requirements/torch.txt')  # `make` has variables for these
    optional = {'cuda-bindings', 'cuda-pathfinder'}
    for name, version in pins(ROOT / 'constraints.txt').items():
        if name in chosen:
            continue
        try:
            here = distribution(STAND_IN.get(name, name)).version
        except PackageNotFoundError:
            assert name in optional, f'{name} is pinned and not installed'
        else:
            assert here == version, name


def test_constraints_include_no_requirements():
    """What a file included with -r names, pip would install, all of it."""
    assert '\n-r' not in (ROOT / 'constraints.txt').read_text()


def test_the_lowest_torch_is_the_one_with_the_lowest_triton_that_compiles():
    (torch,) = [
        r for r in map(Requirement, PROJECT['dependencies']) if r.name == 'torch'
    ]
    assert torch.specifier.contains('2.8.0') and not torch.specifier.contains('2.7.1')


def test_what_is_imported_is_asked_for():
    parts = ('mmmambamixer', 'ops', 'tools', 'tests')
    files = [p for part in parts for p in (ROOT / part).rglob('*.py')]
    own = {path.stem for path in files} | {path.parent.name for path in files}
    own.add('mmmambamixer')
    names = {name.partition('.')[0] for path in files for name in imports(path)}
    others = names - own - sys.stdlib_module_names
    others -= {'triton'}  # torch brings it
    others -= {'timm', 'librosa', 'soundfile'}  # extras that the tested set is without
    assert others > {'torch', 'mmengine'}
    distributions = packages_distributions()
    found = {n: distributions.get(n, [n])[0].removesuffix('-headless') for n in others}
    assert {n for n in others if canonicalize_name(found[n]) not in needed()} == set()


def imports(path: Path) -> list[str]:
    """Return the names of the modules that a file imports, relative ones left out."""
    nodes = [*ast.walk(ast.parse(path.read_text()))]
    names = [n.module for n in nodes if isinstance(n, ast.ImportFrom) and not n.level]
    return names + [a.name for n in nodes if isinstance(n, ast.Import) for a in n.names]
