"""Bases of other frameworks, and checkpoints that bring no code."""

import http.server
import importlib
import os
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import CheckpointLoader
from torch import nn
from warm import python

from mmmambamixer import patches
from mmmambamixer.checkpoints.fit import check_state_dict
from mmmambamixer.checkpoints.plain import from_plain, to_plain

BASE = Path(__file__).parents[1] / 'configs/_base_/mmmambamixer.py'


class Attack:
    """Unpickled with trust, it would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize(
    ('module', 'base'),
    [
        ('mmpretrain', 'mmpretrain::_base_/schedules/imagenet_bs1024_adamw_swin.py'),
        ('mmdet', 'mmdet::_base_/schedules/schedule_1x.py'),
        ('mmseg', 'mmseg::_base_/schedules/schedule_160k.py'),
    ],
)
def test_bases_of_each_framework_are_found(module, base, tmp_path):
    pytest.importorskip(module)
    path = tmp_path / 'config.py'
    path.write_text(f'_base_ = [{str(BASE)!r}, {base!r}]\n')
    config = Config.fromfile(path)
    assert config.optim_wrapper and config.runner_type == 'SafeRunner'


def test_bases_are_found_where_mmengine_alone_does_not(tmp_path):
    """Without pkg_resources (setuptools 82) MMEngine cannot resolve `mmdet::`."""
    pytest.importorskip('mmdet')
    path = tmp_path / 'config.py'
    base = 'mmdet::_base_/schedules/schedule_1x.py'
    path.write_text(f'_base_ = [{str(BASE)!r}, {base!r}]\n')
    code = (
        'import sys; sys.modules["pkg_resources"] = None; '
        'from mmengine.config import Config; '
        f'print(Config.fromfile({str(path)!r}).train_cfg.max_epochs)'
    )
    result = python('-c', code)
    assert result.stdout.strip() == '12', result.stderr


def test_package_folder_knows_distributions_and_modules():
    assert patches.package_folder('torch') == os.path.dirname(torch.__file__)
    assert patches.package_folder('no_such_package') is None


def test_local_file_with_code_is_refused_and_nothing_runs(tmp_path):
    torch.save({'state_dict': {}, 'x': Attack(tmp_path / 'hit')}, tmp_path / 'bad.pth')
    with pytest.raises(ValueError, match=r'bad\.pth is refused'):
        CheckpointLoader.load_checkpoint(str(tmp_path / 'bad.pth'), 'cpu')
    assert not (tmp_path / 'hit').exists()


def test_served_file_with_code_is_refused_and_nothing_runs(tmp_path, monkeypatch):
    torch.save({'x': Attack(tmp_path / 'hit')}, tmp_path / 'bad.pth')
    torch.save({'state_dict': {'w': torch.ones(2)}}, tmp_path / 'good.pth')
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
    monkeypatch.setenv('no_proxy', '*')
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f'http://127.0.0.1:{server.server_port}'
        with pytest.raises(ValueError, match=r'bad\.pth is refused'):
            CheckpointLoader.load_checkpoint(f'{address}/bad.pth', 'cpu')
        good = CheckpointLoader.load_checkpoint(f'{address}/good.pth', 'cpu')
        server.shutdown()
    assert torch.equal(good['state_dict']['w'], torch.ones(2))
    assert not (tmp_path / 'hit').exists()


def test_missing_and_damaged_files_say_so(tmp_path):
    with pytest.raises(FileNotFoundError, match='no checkpoint at'):
        CheckpointLoader.load_checkpoint(str(tmp_path / 'none.pth'), 'cpu')
    torch.save({'state_dict': {'w': torch.ones(4096)}}, tmp_path / 'whole.pth')
    data = (tmp_path / 'whole.pth').read_bytes()
    (tmp_path / 'cut.pth').write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r'cut\.pth is not a readable checkpoint'):
        CheckpointLoader.load_checkpoint(str(tmp_path / 'cut.pth'), 'cpu')


def test_plain_data_goes_through_a_safe_load_and_back(tmp_path):
    buffer = HistoryBuffer([1.0, 2.5], [1, 2], max_length=7)
    state = {
        'scalars': {'loss': buffer},
        'array': np.arange(3, dtype=np.int32),
        'scalar': np.float64(0.5),
        'nested': [(1, 'a', None), torch.ones(2)],
        3: True,
    }
    torch.save(to_plain(state), tmp_path / 'state.pth')
    back = from_plain(torch.load(tmp_path / 'state.pth', weights_only=True))
    loss = back['scalars']['loss']
    assert isinstance(loss, HistoryBuffer) and loss.max_length == 7
    assert [d.tolist() for d in loss.data] == [[1.0, 2.5], [1, 2]]
    assert back['array'].dtype == np.int32 and back['array'].tolist() == [0, 1, 2]
    assert back['scalar'] == 0.5 and type(back['scalar']) is float
    assert back['nested'][0] == (1, 'a', None) and back[3] is True


def test_an_object_without_plain_form_is_named():
    with pytest.raises(ValueError, match='plain data only, got Attack'):
        to_plain({'x': [Attack(Path('x'))]})


def test_check_state_dict_lists_what_does_not_fit():
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4))
    check_state_dict(model, model.state_dict(), 'own')
    wrapped = {f'module.{key}': item for key, item in model.state_dict().items()}
    check_state_dict(model, {'state_dict': wrapped}, 'from DDP')

    state = dict(model.state_dict(), extra=torch.ones(1))
    del state['0.bias']
    state['1.weight'] = torch.ones(4, 5)
    with pytest.raises(ValueError, match='other does not fit') as error:
        check_state_dict(model, state, 'other')
    told = str(error.value)
    assert told.splitlines() == [
        'other does not fit this Sequential of 4 tensors: 1 missing, 1 unexpected, '
        '1 of another shape; was it trained with another config?',
        '                    tensor    in the model  in the file',
        '  missing           0.bias    (3,)          -',
        '  unexpected        extra     -             (1,)',
        '  of another shape  1.weight  (4, 3)        (4, 5)',
    ]


def test_the_first_name_of_the_module_imports_the_same():
    """Configs that 0.1 dumped beside its checkpoints import `mmmambamixer.compat`."""
    compat = importlib.import_module('mmmambamixer.compat')
    assert all(
        getattr(compat, name) is getattr(patches, name) for name in compat.__all__
    )
