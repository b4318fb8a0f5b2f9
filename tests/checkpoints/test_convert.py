"""Checkpoints as safetensors and back: weights, what they say of themselves, faults."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from mmmambamixer.checkpoints.load import load_local
from mmmambamixer.checkpoints.meta import KEY, meta_from_text, meta_to_text
from mmmambamixer.checkpoints.plain import from_plain
from mmmambamixer.checkpoints.storage import is_complete

pytestmark = pytest.mark.usefixtures('own_files_are_trusted')

PATH = Path(__file__).parents[2] / 'tools' / 'convert_checkpoint.py'
SPEC = importlib.util.spec_from_file_location('convert_checkpoint', PATH)
convert_checkpoint = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(convert_checkpoint)

META = dict(
    epoch=3,
    rate=1e-3,
    cfg='model = dict()',
    nothing=None,
    dataset_meta=dict(
        classes=('seven', 'nine'), palette=[[0, 0, 255]], label_map={255: 0, 3: -1}
    ),
    initial=['head.fc.bias'],
)


@pytest.fixture
def checkpoint():
    torch.manual_seed(0)
    shared = torch.randn(3, 4)
    state = {
        'head.fc.weight': shared,
        'head.tied.weight': shared,
        'head.turned.weight': shared.t(),  # not contiguous
        'half': torch.randn(2).bfloat16(),
        'steps': torch.tensor(7),
    }
    return dict(meta=META, state_dict=state, optimizer=dict(state={}), message_hub={})


def convert(*paths):
    convert_checkpoint.main([str(path) for path in paths])


def test_there_and_back_nothing_has_changed(checkpoint, tmp_path, capsys):
    first, safe, last = (tmp_path / f for f in ('a.pth', 'b.safetensors', 'c.pth'))
    torch.save(checkpoint, first)
    convert(first, safe)
    told = capsys.readouterr().out
    assert '5 tensors and meta; left out: message_hub, optimizer' in told
    with safe_open(safe, 'pt') as file:  # by the library alone
        assert {*file.keys()} == {*checkpoint['state_dict']}
        assert file.metadata()['format'] == 'pt'
    convert(safe, last)
    assert 'left out' not in capsys.readouterr().out
    assert is_complete(last)
    for path in (safe, last):
        back = load_local(path)
        assert back['meta'] == META
        assert isinstance(back['meta']['dataset_meta']['classes'], tuple)
        for name, tensor in checkpoint['state_dict'].items():
            given = back['state_dict'][name]
            assert given.dtype == tensor.dtype and torch.equal(given, tensor), name


def test_arrays_in_meta_come_back():
    meta = dict(mean=np.float32([0.1, 1e-30]), gone=float('inf'), t=torch.eye(2).half())
    back = from_plain(meta_from_text(meta_to_text(meta)))
    assert back['gone'] == meta['gone']
    np.testing.assert_array_equal(back['mean'], meta['mean'])
    assert back['mean'].dtype == np.float32
    assert back['t'].dtype == torch.half and torch.equal(back['t'], meta['t'])


def test_weights_alone_stay_weights_alone(tmp_path, capsys):
    torch.save({'x': torch.ones(2)}, tmp_path / 'a.pt')
    convert(tmp_path / 'a.pt', tmp_path / 'a.safetensors')
    assert 'a.safetensors: 1 tensors\n' in capsys.readouterr().out
    assert load_local(tmp_path / 'a.safetensors').keys() == {'state_dict'}


WRONG = {
    'no safetensors': ('a.pth', 'b.pth', 'exactly one of the two files must end'),
    'both safetensors': ('a.safetensors', 'b.safetensors', 'exactly one of the two'),
    'missing': ('none.pth', 'b.safetensors', r'no checkpoint at .*none\.pth'),
    'no folder': ('a.pth', 'none/b.safetensors', 'there is no folder for'),
    'cut off': ('cut.safetensors', 'b.pth', 'not a readable checkpoint'),
    'other metadata': ('odd.safetensors', 'b.pth', 'its metadata mmmambamixer.meta'),
    'no weights': ('empty.pth', 'b.safetensors', 'holds no weights'),
    'diverged': ('nan.pth', 'b.safetensors', '1 of its 1 tensors'),
    'no tensors': (
        'extra.pth',
        'b.safetensors',
        'head.extra of its state_dict must be',
    ),
    'a dtype': ('dtype.pth', 'b.safetensors', r'dtype\.pth cannot be converted: meta'),
}


@pytest.mark.parametrize('case', WRONG)
def test_what_cannot_be_converted_is_told_in_a_sentence(case, checkpoint, tmp_path):
    torch.save(checkpoint, tmp_path / 'a.pth')
    (tmp_path / 'cut.safetensors').write_bytes(b'\xff' * 9)
    x = torch.ones(2)
    for odd in ('{', '[]', '{"__kind__": "Tensor", "values": [], "dtype": "load"}'):
        save_file({'x': x}, tmp_path / 'odd.safetensors', {KEY: odd})
        with pytest.raises(ValueError, match=r'odd\.safetensors is not a readable'):
            load_local(tmp_path / 'odd.safetensors')
    torch.save(dict(state_dict={}), tmp_path / 'empty.pth')
    torch.save(dict(state_dict={'x': x / 0 * 0}), tmp_path / 'nan.pth')
    torch.save(dict(state_dict={'x': x, 'head.extra': {}}), tmp_path / 'extra.pth')
    odd = dict(meta=dict(x=torch.half), state_dict={'x': x})
    torch.save(odd, tmp_path / 'dtype.pth')
    src, dst, text = WRONG[case]
    with pytest.raises(SystemExit, match=text) as error:
        convert(tmp_path / src, tmp_path / dst)
    assert re.fullmatch('error: [^\n]+', str(error.value))
    assert not (tmp_path / dst).exists()
