"""Checkpoints that bring code: every way into the program refuses to run it.

Each file would make a marker if its code ran. The attacks are ours, of the kinds that
pickle allows.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import toy
from safetensors.torch import save_file
from torch import nn

import mmmambamixer.patches  # noqa: F401  (safe loaders)
from mmmambamixer import ViM2
from mmmambamixer.checkpoints.load import load_local
from mmmambamixer.checkpoints.trust import UnsafeTorch, reads_safely

WAYS = ('resume', 'load_from', 'pretrained')


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments) -> None:
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class Through(Call):
    """Pickles as a call of what `getattr` finds."""

    def __init__(self, marker: str) -> None:
        super().__init__(Call(getattr, Call(__import__, 'os'), 'mkdir'), marker)

    def __reduce__(self):
        return apply, self.call


def apply(function, arguments):
    """Call a function: what a library may offer to an attack."""
    return function(*arguments)


class Layer(nn.Module):
    """A whole module, as older tutorials save it."""

    def __init__(self, marker: str) -> None:
        super().__init__()
        self.hidden = Call(os.mkdir, marker)


def attacks(marker: str) -> dict:
    """Return what stands where in the file, by the kind of the attack."""
    make = f'__import__("os").mkdir({marker!r})'
    numbers = np.empty(1, dtype=object)
    numbers[0] = Call(os.mkdir, marker)
    return {
        'system call at the top': dict(extra=Call(os.system, f'mkdir {marker}')),
        'eval at the top': dict(extra=Call(eval, make)),
        'exec in meta': dict(meta=dict(epoch=0, iter=0, note=Call(exec, make))),
        'among the weights': dict(state_dict={'x': Call(os.mkdir, marker)}),
        'in the optimiser': dict(optimizer=dict(state=Call(os.mkdir, marker))),
        'in the message hub': dict(message_hub=dict(log=Call(os.mkdir, marker))),
        'in a schedule': dict(param_schedulers=[Call(os.mkdir, marker)]),
        'through getattr': dict(extra=Through(marker)),
        'a module': dict(extra=Layer(marker)),
        'an array of objects': dict(extra=numbers),
        'as a key': dict(extra={Call(os.mkdir, marker): 1}),
        'a config that runs': dict(meta=dict(epoch=0, iter=0, config=make)),
    }


KINDS = [*attacks('')]


@pytest.fixture(scope='module')
def own(tmp_path_factory) -> dict:
    """Content of a checkpoint that the toy wrote."""
    folder = tmp_path_factory.mktemp('own')
    toy.run(folder, epochs=1)
    return torch.load(folder / 'epoch_1.pth', weights_only=True)


def hostile(own: dict, folder: Path, kind: str, old_format: bool) -> tuple[Path, Path]:
    """Write a file that is a checkpoint of the toy but for the attack."""
    marker, path = folder / 'marker', folder / 'run' / 'epoch_1.pth'
    path.parent.mkdir()
    content = own | attacks(str(marker))[kind]
    torch.save(content, path, _use_new_zipfile_serialization=not old_format)
    (path.parent / 'last_checkpoint').write_text(str(path))
    return path, marker


def load(way: str, path: Path) -> None:
    if way == 'pretrained':
        init_cfg = dict(type='Pretrained', checkpoint=str(path))
        arch = dict(embed_dims=(8,), depths=(1,))
        ViM2(arch=arch, out_indices=(0,), init_cfg=init_cfg).init_weights()
    else:
        settings = dict(load_from=str(path)) if way == 'load_from' else {}
        toy.run(path.parent, resume=way == 'resume', epochs=1, **settings)


@pytest.mark.parametrize('way', WAYS)
@pytest.mark.parametrize('kind', KINDS)
def test_nothing_runs(kind, way, own, tmp_path):
    path, marker = hostile(own, tmp_path, kind, old_format=KINDS.index(kind) % 2 == 1)
    if kind == 'a config that runs' and reads_safely():  # it loads, as plain data
        if way != 'pretrained':
            load(way, path)
    else:
        with pytest.raises((ValueError, RuntimeError)):
            load(way, path)
    assert not marker.exists()


@pytest.mark.parametrize('kind', KINDS[:-1])
def test_the_attacks_would_work(kind, own, tmp_path):
    """Without the safe loader they do what they are made for."""
    path, marker = hostile(own, tmp_path, kind, old_format=False)
    torch.load(path, weights_only=False)
    assert marker.exists()


# ---- torch before 2.10, which does not keep the promise of `weights_only=True`


@pytest.fixture
def older_torch(monkeypatch):
    monkeypatch.setattr(torch, '__version__', '2.9.1+cu128')


@pytest.mark.parametrize('way', WAYS)
def test_an_older_torch_reads_no_pickle_at_all(way, own, tmp_path, older_torch):
    path = tmp_path / 'run' / 'epoch_1.pth'
    path.parent.mkdir()
    torch.save(own, path)
    (path.parent / 'last_checkpoint').write_text(str(path))
    with pytest.raises(UnsafeTorch, match=r'epoch_1\.pth is refused') as error:
        load(way, path)
    for text in ('CVE-2026-24747', 'CVE-2025-32434', 'set MMMAMBAMIXER_UNPICKLE=1'):
        assert text in str(error.value)


def test_an_older_torch_reads_what_is_trusted(own, tmp_path, older_torch, monkeypatch):
    torch.save(own, tmp_path / 'x.pth')
    monkeypatch.setenv('MMMAMBAMIXER_UNPICKLE', '1')
    assert load_local(tmp_path / 'x.pth').keys() == own.keys()


def test_safetensors_are_read_by_every_torch(own, tmp_path, older_torch):
    path = tmp_path / 'x.safetensors'
    save_file(own['state_dict'], path)
    (given,) = load_local(path, 'cpu').values()
    assert given.keys() == own['state_dict'].keys()
    assert all(torch.equal(given[k], x) for k, x in own['state_dict'].items())
    load('load_from', path)


NOT_READABLE = r'x\.safetensors is not a readable checkpoint'


def test_damaged_safetensors_are_refused(own, tmp_path):
    path = tmp_path / 'x.safetensors'
    save_file(own['state_dict'], path)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ValueError, match=NOT_READABLE):
        load_local(path)
    torch.save(dict(extra=Call(os.mkdir, str(tmp_path / 'hit'))), path)
    with pytest.raises(ValueError, match=NOT_READABLE):
        load_local(path)
    assert not (tmp_path / 'hit').exists()
