"""`tools/train.py --amp` on the CPU: bfloat16, bit-exact resume, or one sentence."""

import pytest
import torch

from mmmambamixer import ViM2

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')


@pytest.fixture
def seen(monkeypatch) -> set[torch.dtype]:
    """What autocast computes in, when ViM2 is trained."""
    dtypes, forward = set(), ViM2.forward

    def note(self, images):
        if self.training:
            on = torch.is_autocast_enabled('cpu')
            dtypes.add(torch.get_autocast_dtype('cpu') if on else torch.float32)
        return forward(self, images)

    monkeypatch.setattr(ViM2, 'forward', note)
    return dtypes


@pytest.mark.parametrize('framework', ['mmpretrain', 'mmseg'])
def test_resumed_runs_have_equal_bits(framework, call, configs, tmp_path, seen):
    pytest.importorskip(framework)
    options = ('--amp', '--no-validate', '--cfg-options', 'train_cfg.max_epochs=2')
    options = (configs[framework], *options, 'randomness.seed=3')
    call('train.py', *options, '--work-dir', 'whole')
    call('train.py', *options, '--work-dir', 'again', '--resume', 'whole/epoch_1.pth')
    assert seen == {torch.bfloat16}
    whole, again = (
        torch.load(tmp_path / name / 'epoch_2.pth', weights_only=True)
        for name in ('whole', 'again')
    )
    for key, value in whole['state_dict'].items():
        assert torch.equal(value, again['state_dict'][key]), key
    assert 'loss_scaler' not in whole['optimizer']
    for key, state in whole['optimizer']['state'].items():
        assert all(
            torch.equal(value, again['optimizer']['state'][key][name])
            for name, value in state.items()
        )
    weights = {value.dtype for value in whole['state_dict'].values()}
    assert torch.bfloat16 not in weights


def test_a_stock_wrapper_with_a_dynamic_loss_scale(call, configs, seen, tmp_path):
    pytest.importorskip('mmpretrain')
    wrapper = ('optim_wrapper.type=AmpOptimWrapper', 'optim_wrapper.loss_scale=dynamic')
    options = ('--no-validate', '--work-dir', 'run', '--cfg-options', *wrapper)
    call('train.py', configs['mmpretrain'], *options)
    assert seen == {torch.bfloat16}
    (log,) = (tmp_path / 'run').rglob('*.log')
    assert 'autocast to bfloat16, without a loss scale' in log.read_text()


def test_what_cannot_run_is_told(call, configs):
    pytest.importorskip('mmdet')
    half = ('--amp', '--cfg-options', 'optim_wrapper.dtype=float16')
    with pytest.raises(SystemExit, match=r'dtype is float16, .*dtype=bfloat16'):
        call('train.py', configs['mmdet'], *half)
    told = r'roi_layers\.0 is a RoIAlign, for which mmcv has no bfloat16'
    with pytest.raises(SystemExit, match=told):
        call('train.py', configs['mmdet'], '--amp')
