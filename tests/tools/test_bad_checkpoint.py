"""Files that are no checkpoint, or another's: every tool says so, in one sentence."""

from pathlib import Path

import pytest
import torch

pytest.importorskip('mmpretrain')

import mmmambamixer.patches  # noqa: F401  (safe loaders)
from mmmambamixer import ViM2

WAYS = ('--resume', 'load_from', 'test.py', 'predict.py', 'Pretrained', 'converter')


@pytest.fixture(scope='module')
def own(configs, tmp_path_factory, run) -> dict:
    """Content of a checkpoint of the toy classifier."""
    work_dir = tmp_path_factory.mktemp('classifier')
    root = Path(__file__).parents[2]
    args = [configs['mmpretrain'], '--work-dir', work_dir, '--no-validate']
    run(root / 'tools/train.py', *args, cwd=work_dir)
    return torch.load(work_dir / 'epoch_1.pth', weights_only=True)


def load(way: str, path: Path, configs, scenes, call) -> str:
    """Return the sentence in which a way to load a file ends."""
    config = configs['mmpretrain']
    with pytest.raises((SystemExit, ValueError, FileNotFoundError)) as end:
        if way == 'Pretrained':
            init_cfg = dict(type='Pretrained', checkpoint=str(path))
            arch = dict(embed_dims=(8,), depths=(1,))
            ViM2(arch=arch, out_indices=(0,), init_cfg=init_cfg).init_weights()
        elif way == '--resume':
            call('train.py', config, '--resume', path)
        elif way == 'load_from':
            call('train.py', config, '--cfg-options', f'load_from={path}')
        elif way == 'test.py':
            call('test.py', config, path)
        elif way == 'predict.py':
            call('predict.py', config, path, scenes / 'images/0.png', '--out', 'o')
        else:
            converter(path)
    return str(end.value).removeprefix('error: ')


def converter(path: Path) -> None:
    import importlib.util

    file = Path(__file__).parents[2] / 'tools/convert_vmamba.py'
    spec = importlib.util.spec_from_file_location('convert', file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.load_vmamba(str(path))


def cut(path: Path) -> None:
    torch.save(dict(state_dict={'w': torch.ones(4096)}), path)
    path.write_bytes(path.read_bytes()[:5000])


def flip(path: Path) -> None:
    torch.save(dict(state_dict={'w': torch.ones(4096)}), path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


SAMPLE = ('missing', 'web page', 'flipped bit')
"""Files that every tool gets; the others are slow tests, for all read alike."""
UNREADABLE = 'is not a readable checkpoint, it is'
FILES = {
    'missing': (lambda path: None, 'no checkpoint at {path}'),
    'folder': (Path.mkdir, '{path} is a folder, expected a checkpoint file'),
    'empty': (Path.touch, f'{{path}} {UNREADABLE} empty'),
    'junk': (
        lambda path: path.write_bytes(b'junk'),
        f'{{path}} {UNREADABLE} cut off or of another format: 4 bytes that begin '
        "with b'junk'",
    ),
    'web page': (
        lambda path: path.write_text('<html>not found</html>'),
        f'{{path}} {UNREADABLE} cut off or of another format: 22 bytes that begin '
        "with b'<html>no'",
    ),
    'cut off': (cut, f'{{path}} {UNREADABLE} damaged'),
    'flipped bit': (flip, f'{{path}} {UNREADABLE} damaged'),
    'tensor': (
        lambda path: torch.save(torch.ones(3), path),
        '{path} is no checkpoint: expected a dict, it holds a Tensor',
    ),
    'list': (
        lambda path: torch.save([1], path),
        '{path} is no checkpoint: expected a dict, it holds a list',
    ),
}


QUICK = ('Pretrained', 'converter')
TRIED = {
    f'{way}, {kind}': pytest.param(
        way, kind, marks=[] if way in QUICK or kind in SAMPLE else pytest.mark.slow
    )
    for way in WAYS
    for kind in FILES
}


@pytest.mark.parametrize(('way', 'kind'), TRIED.values(), ids=TRIED)
def test_files(way, kind, configs, scenes, call, tmp_path):
    write, text = FILES[kind]
    path = tmp_path / 'x.pth'
    write(path)
    assert load(way, path, configs, scenes, call).startswith(text.format(path=path))


def renamed(own: dict) -> dict:
    state = own['state_dict']
    return own | dict(
        state_dict={key.replace('mixers', 'blocks'): v for key, v in state.items()}
    )


def other_classes(own: dict) -> dict:
    head = {'head.fc.weight': torch.ones(3, 16), 'head.fc.bias': torch.ones(3)}
    return own | dict(state_dict=own['state_dict'] | head)


def diverged(own: dict) -> dict:
    state = {key: item * float('nan') for key, item in own['state_dict'].items()}
    return own | dict(state_dict=state)


NO_WEIGHTS = 'holds no weights: expected a dict of tensors, or one with the key state_d'
NO_RUN = 'holds no meta, message_hub, optimizer, so a run cannot go on from it'
MODEL = 'does not fit this ImageClassifier of 77 tensors:'
CONTENTS = [
    ('load_from', lambda own: {}, f'{NO_WEIGHTS}ict, got the keys none'),
    ('test.py', lambda own: dict(model=own['state_dict']), f'{NO_WEIGHTS}ict, got the'),
    ('predict.py', lambda own: dict(state_dict=[1]), f'{NO_WEIGHTS}ict, got list'),
    ('--resume', lambda own: dict(state_dict=own['state_dict']), NO_RUN),
    ('--resume', lambda own: own['state_dict'], NO_RUN),
    (
        '--resume',
        lambda own: {k: own[k] for k in own if k != 'optimizer'},
        'holds no op',
    ),
    ('--resume', renamed, f'{MODEL} 56 missing, 56 unexpected; was it trained'),
    ('load_from', renamed, f'{MODEL} 56 missing, 56 unexpected; was it trained'),
    ('test.py', renamed, f'{MODEL} 56 missing, 56 unexpected; was it trained'),
    ('predict.py', renamed, f'{MODEL} 56 missing, 56 unexpected; was it trained'),
    ('--resume', other_classes, f'{MODEL} 2 of another shape; was it trained'),
    (
        'load_from',
        other_classes,
        f'{MODEL} 2 of another shape; to train these parts '
        "anew, set load_except=['head.fc']",
    ),
    ('test.py', other_classes, f'{MODEL} 2 of another shape; was it trained'),
    ('predict.py', other_classes, f'{MODEL} 2 of another shape; was it trained'),
    (
        '--resume',
        diverged,
        'cannot be used: 77 of its 77 tensors have values that are not',
    ),
    ('load_from', diverged, 'cannot be used: 77 of its 77 tensors have values'),
    ('test.py', diverged, 'cannot be used: 77 of its 77 tensors have values'),
    ('predict.py', diverged, 'cannot be used: 77 of its 77 tensors have values'),
]


@pytest.mark.parametrize(('way', 'make', 'text'), CONTENTS)
def test_contents(way, make, text, own, configs, scenes, call, tmp_path):
    path = tmp_path / 'x.pth'
    torch.save(make(own), path)
    line, *table = load(way, path, configs, scenes, call).splitlines()
    assert line.startswith(f'{path} {text}')
    assert bool(table) == ('does not fit' in line)


@pytest.mark.parametrize(
    'framework', ['mmdet', pytest.param('mmpretrain', marks=pytest.mark.slow)]
)
def test_the_frameworks_own_tools_refuse_too(framework, own, configs, run, tmp_path):
    module = pytest.importorskip(framework)
    tool = Path(module.__file__).parent / '.mim/tools/train.py'
    torch.save(renamed(own), tmp_path / 'x.pth')
    still = 'dataloader.persistent_workers=False'  # mmpretrain's tool wants them
    options = ['load_from=x.pth', f'train_{still}', f'val_{still}']
    args = [configs[framework], '--work-dir', 'run', '--cfg-options', *options]
    output = run(tool, *args, cwd=tmp_path, fails=True)
    assert 'ValueError: x.pth does not fit this' in output
    assert 'in the model' in output
    assert not list(tmp_path.rglob('epoch_*.pth'))


def test_another_backbone_is_named_for_starting_weights(own, tmp_path):
    path = tmp_path / 'x.pth'
    torch.save(diverged(own), path)
    init_cfg = dict(type='Pretrained', checkpoint=str(path), prefix='backbone.')
    with pytest.raises(ValueError, match='75 of its 75 tensors have values'):
        arch = dict(embed_dims=(8,), depths=(1,))
        ViM2(arch=arch, out_indices=(0,), init_cfg=init_cfg).init_weights()
