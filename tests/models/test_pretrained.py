"""Starting weights fit or are refused, in one sentence that names what does not."""

import re

import pytest
import torch

from mmmambamixer import ViM2

ARCH = dict(embed_dims=(8, 16), depths=(1, 1))

pytestmark = pytest.mark.usefixtures('own_files_are_trusted')


def make(checkpoint, *, prefix='backbone.', **settings):
    init_cfg = dict(type='Pretrained', checkpoint=str(checkpoint), prefix=prefix)
    return ViM2(**dict(arch=ARCH, out_indices=(1,), init_cfg=init_cfg) | settings)


def save(path, state, prefix='backbone.', **meta):
    state = {f'{prefix}{key}': value for key, value in state.items()}
    torch.save(dict(meta=meta, state_dict=state), path)
    return path


@pytest.fixture
def source():
    return ViM2(arch=ARCH, out_indices=(1,))


@pytest.mark.parametrize('prefix', ['backbone.', 'backbone', None])
def test_weights_are_loaded(prefix, source, tmp_path):
    path = tmp_path / 'whole.pth'
    save(path, source.state_dict(), prefix='backbone.' if prefix else '')
    model = make(path, prefix=prefix)
    model.init_weights()
    for key, value in source.state_dict().items():
        assert torch.equal(model.state_dict()[key], value), key


def test_heads_beside_the_backbone_are_not_its_business(source, tmp_path):
    state = {f'backbone.{key}': value for key, value in source.state_dict().items()}
    path = save(tmp_path / 'x.pth', state | {'head.fc.bias': torch.zeros(2)}, prefix='')
    make(path).init_weights()


def test_output_norms_may_differ(source, tmp_path):
    """A detector reads all stages; its checkpoint starts a classifier too."""
    path = save(tmp_path / 'classifier.pth', source.state_dict())
    detector = make(path, out_indices=(0, 1))
    norm0 = detector.norm0.weight.clone()
    detector.init_weights()
    assert torch.equal(detector.norm0.weight, norm0)
    assert torch.equal(detector.stem.proj.weight, source.stem.proj.weight)

    path = save(tmp_path / 'detector.pth', detector.state_dict())
    make(path, out_indices=(0,)).init_weights()


ROW = {
    'missing': (
        lambda s: s.pop('stem.proj.bias'),
        'missing stem.proj.bias (8,) -',
    ),
    'unexpected': (
        lambda s: s.update({'stages.1.mixers.7.x': torch.ones(1)}),
        'unexpected stages.1.mixers.7.x - (1,)',
    ),
    'of another shape': (
        lambda s: s.update({'norm1.weight': torch.ones(4)}),
        'of another shape norm1.weight (16,) (4,)',
    ),
}


@pytest.mark.parametrize('kind', ROW)
def test_what_does_not_fit_is_named(kind, source, tmp_path):
    change, row = ROW[kind]
    state = source.state_dict()
    change(state)
    path = save(tmp_path / 'x.pth', state)
    before = {k: v.clone() for k, v in make(path).state_dict().items()}
    model = make(path)
    model.load_state_dict(before)
    with pytest.raises(ValueError, match=r'x\.pth does not fit ViM2 ') as error:
        model.init_weights()
    line, head, told = str(error.value).splitlines()
    assert line.endswith(f' tensors: 1 {kind}')
    assert head.split() == ['tensor', 'in', 'the', 'model', 'in', 'the', 'file']
    assert ' '.join(told.split()) == row
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key]), f'{key} was changed'


def test_a_wrong_prefix_is_explained(source, tmp_path):
    path = save(tmp_path / 'x.pth', source.state_dict())
    with pytest.raises(
        ValueError, match=r"begins with 'encoder\.', names begin with backbone\."
    ):
        make(path, prefix='encoder.').init_weights()
    with pytest.raises(ValueError, match=r"whole model: set prefix='backbone\.'"):
        make(path, prefix=None).init_weights()


def test_a_warm_start_says_what_it_leaves_out(source, tmp_path):
    state = source.state_dict()
    left = [key for key in state if '.averages.' in key]
    assert left
    for key in left:
        del state[key]
    named = [f'backbone.{key}' for key in left]
    make(save(tmp_path / 'warm.pth', state, initial=named)).init_weights()
    with pytest.raises(ValueError, match=re.escape(f'{len(left)} missing')):
        make(save(tmp_path / 'cold.pth', state)).init_weights()


@pytest.mark.parametrize('checkpoint', ['', None])
def test_no_checkpoint_is_refused_at_once(checkpoint):
    init_cfg = dict(type='Pretrained', checkpoint=checkpoint)
    with pytest.raises(ValueError, match=f'got checkpoint={checkpoint!r}; to train'):
        ViM2(arch=ARCH, out_indices=(1,), init_cfg=init_cfg)


def test_an_init_cfg_of_another_form_is_refused():
    with pytest.raises(
        ValueError, match=r"dict or list of dicts, got 'classifier\.pth'"
    ):
        ViM2(arch=ARCH, out_indices=(1,), init_cfg='classifier.pth')


def test_two_checkpoints_are_refused():
    init_cfg = [dict(type='Pretrained', checkpoint='a'), dict(type='Pretrained')]
    with pytest.raises(ValueError, match='it has 2 entries'):
        ViM2(arch=ARCH, out_indices=(1,), init_cfg=init_cfg)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'nowhere\.pth'):
        make(tmp_path / 'nowhere.pth').init_weights()


def test_other_entries_of_init_cfg_come_before_the_checkpoint(source, tmp_path):
    path = save(tmp_path / 'x.pth', source.state_dict(), prefix='')
    normal = dict(type='Constant', layer='Linear', val=3.0)
    checkpoint = dict(type='Pretrained', checkpoint=str(path))
    model = ViM2(arch=ARCH, out_indices=(1,), init_cfg=[normal, checkpoint])
    model.init_weights()
    name = 'stages.0.mixers.0.mixer.in_proj.weight'
    assert torch.equal(model.state_dict()[name], source.state_dict()[name])
