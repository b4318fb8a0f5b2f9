"""The import directions of the project: what each part may import."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FRAMEWORKS = {'mmcv', 'mmdet', 'mmseg', 'mmpretrain'}
ROOMS = {
    'faults': set(),
    'undisturbed': set(),
    'layer_errors': set(),
    'messages': {'layer_errors'},
    'arguments': {'messages'},
    'wrappers': set(),
    'registry': set(),
    'flops': set(),
    'datasets': {'arguments', 'messages', 'registry'},
    'evaluation': {'registry'},
    'checkpoints': {'messages', 'wrappers'},
    'models': {
        *('arguments', 'checkpoints', 'flops', 'messages', 'ops', 'registry'),
    },
    'hub': {'checkpoints', 'models'},
    'timm': {'models'},
    'analysis': {'models', 'ops'},
    'check_ops': {'models', 'ops'},
    'preflight': {'checkpoints', 'layer_errors', 'messages', 'wrappers'},
    'engine': {
        *('checkpoints', 'layer_errors', 'messages', 'preflight'),
        *('registry', 'wrappers'),
    },
    'patches': {'checkpoints', 'engine'},
    'compat': {'patches'},
    'inference': {'engine', 'messages', 'preflight', 'wrappers'},
    'forecast': {
        *('arguments', 'datasets', 'engine', 'messages', 'preflight'),
        *('registry', 'undisturbed', 'wrappers'),
    },
    'export': {
        *('analysis', 'engine', 'forecast', 'inference', 'messages', 'models'),
        *('ops', 'preflight'),
    },
}
"""Room of the package -> rooms that it may import: only such as stand above it here."""

# part -> modules (and all below them) that its files must not import
FORBIDDEN = {
    'ops': {'mmmambamixer', 'mmengine', *FRAMEWORKS},
    'mmmambamixer/models/layers': {
        'mmengine',
        'mmmambamixer.registry',
        'mmmambamixer.models.backbones',
        'triton',
        *FRAMEWORKS,
    },
    'mmmambamixer/models': {'triton', *FRAMEWORKS},
    'mmmambamixer/timm': {'mmengine', 'triton', *FRAMEWORKS},
    'mmmambamixer/analysis': {'mmengine', 'triton', *FRAMEWORKS},
    'mmmambamixer/datasets': FRAMEWORKS,
    'mmmambamixer': {'ops', 'tests', 'tools', 'configs'},
}


def imported(path: Path) -> set[str]:
    """Return the absolute names of all modules that a file imports, at any depth."""
    package = list(path.relative_to(ROOT).parent.parts)
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = '.'.join([*base, *([node.module] if node.module else [])])
            names |= {module} | {f'{module}.{alias.name}' for alias in node.names}
    return names


def violations(files, forbidden):
    return [
        f'{path}: {name}'
        for path in files
        for name in imported(path)
        if any(name == f or name.startswith(f'{f}.') for f in forbidden)
    ]


@pytest.mark.parametrize('part', FORBIDDEN)
def test_a_part_imports_only_what_it_may(part):
    files = sorted((ROOT / part).rglob('*.py'))
    if not files:
        pytest.skip(f'{part} is not there')
    assert violations(files, FORBIDDEN[part]) == []


def test_no_room_may_import_one_that_stands_below_it():
    for place, (room, allowed) in enumerate(ROOMS.items()):
        assert allowed - {'ops'} <= {*list(ROOMS)[:place]}, room


@pytest.mark.parametrize('room', ROOMS)
def test_a_room_imports_only_the_rooms_that_it_may(room):
    path = ROOT / 'mmmambamixer' / room
    files = path.rglob('*.py') if path.is_dir() else [path.with_suffix('.py')]
    others = {f'mmmambamixer.{other}' for other in {*ROOMS, 'ops'} - {room}}
    found = {
        name.split('.')[1]
        for file in files
        for name in imported(file)
        if any(name == other or name.startswith(f'{other}.') for other in others)
    }
    assert found <= ROOMS[room]


def test_every_part_of_the_package_is_a_room():
    names = {
        path.stem
        for path in (ROOT / 'mmmambamixer').iterdir()
        if path.is_dir() or path.suffix == '.py'
    }
    assert {n for n in names if n[0] not in '_.'} - {'env', 'version'} == {*ROOMS}


def test_the_walk_sees_relative_and_nested_imports(tmp_path, monkeypatch):
    path = tmp_path / 'mmmambamixer' / 'models' / 'layers' / 'bad.py'
    path.parent.mkdir(parents=True)
    path.write_text(
        'def f():\n    from ...registry import MODELS\n    import mmdet.apis'
    )
    monkeypatch.setitem(globals(), 'ROOT', tmp_path)
    found = violations([path], FORBIDDEN['mmmambamixer/models/layers'])
    assert len(found) == 3  # the registry, a name of it, and mmdet


def test_only_the_backend_imports_triton_at_its_top():
    """GPU kernels live in `gpu*.py` and `gpu/`, loaded at the first CUDA call."""
    users = [
        path.relative_to(ROOT)
        for path in sorted((ROOT / 'ops').rglob('*.py'))
        if any(name.split('.')[0] == 'triton' for name in imported(path))
    ]
    assert all(any(part.startswith('gpu') for part in path.parts) for path in users)


def test_one_file_imports_pandas():
    users = [
        path.name
        for path in sorted((ROOT / 'mmmambamixer').rglob('*.py'))
        if any(name.split('.')[0] in ('pandas', 'pyarrow') for name in imported(path))
    ]
    assert users == ['extras.py']
