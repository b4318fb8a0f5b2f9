"""Checkpoints that a run starts from fit, or are refused; parts may start anew."""

import hashlib
from pathlib import Path

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from mmmambamixer.checkpoints.digests import check_digest, in_name
from mmmambamixer.engine import SafeRunner
from mmmambamixer.engine.hooks.strict_load import StrictLoadHook
from mmmambamixer.engine.launch import check_start


class Net(BaseModel):
    """A backbone and a head."""

    def __init__(self, classes: int = 2, width: int = 4, init_cfg=None) -> None:
        super().__init__(init_cfg=init_cfg)
        self.backbone = nn.Linear(3, width)
        self.cls_head = nn.Linear(width, classes)

    def forward(self, inputs, mode='tensor'):
        logits = self.cls_head(self.backbone(inputs))
        return dict(loss=logits.square().mean()) if mode == 'loss' else [logits]


def make(folder: Path, model: nn.Module, runner=SafeRunner, **settings) -> Runner:
    """Return a runner for one epoch of two iterations; `load_except` goes to cfg."""
    cfg = dict(load_except=settings.pop('load_except', None))
    return runner(
        model=model,
        work_dir=str(folder),
        train_dataloader=dict(
            dataset=[dict(inputs=torch.ones(3) * i) for i in range(4)],
            batch_size=2,
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='default_collate'),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.0)),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1)),
        experiment_name=f'{folder.name}-{id(model)}',
        log_level='ERROR',
        cfg=cfg,
        **settings,
    )


@pytest.fixture
def source(tmp_path) -> Path:
    """A checkpoint of a net for two classes."""
    make(tmp_path / 'source', Net()).train()
    return tmp_path / 'source/epoch_1.pth'


def weights(path: Path) -> dict:
    return torch.load(path, weights_only=True)['state_dict']


def test_weights_that_fit_are_loaded(source, tmp_path):
    model = Net()
    make(tmp_path / 'run', model, load_from=str(source)).train()
    for key, value in weights(source).items():
        assert torch.equal(model.state_dict()[key], value), key


REFUSED = [
    (Net(classes=3), r"2 of another shape; .*, set load_except=\['cls_head'\]"),
    (Net(width=5), '3 of another shape; was it trained with another config'),
]


@pytest.mark.parametrize('runner', [SafeRunner, Runner])
@pytest.mark.parametrize(('model', 'text'), REFUSED)
def test_weights_of_another_net_are_refused(runner, model, text, source, tmp_path):
    """By our runner, and by MMEngine's with our hook."""
    hooks = [] if runner is SafeRunner else [dict(type='mmmambamixer.StrictLoadHook')]
    settings = dict(load_from=str(source), custom_hooks=hooks)
    with pytest.raises(ValueError, match=f'does not fit this Net of 4 .*{text}'):
        make(tmp_path / 'run', model, runner, **settings).train()
    assert not list((tmp_path / 'run').glob('*.pth'))


def test_without_the_hook_mmengine_trains_from_what_fits(source, tmp_path):
    """What the hook is for."""
    make(tmp_path / 'run', Net(width=5), Runner, load_from=str(source)).train()
    assert (tmp_path / 'run/epoch_1.pth').is_file()


@pytest.mark.parametrize('bare', [False, True])
@pytest.mark.parametrize(
    'names', [['cls_head'], 'cls_head.', ['cls_head.weight', 'cls_head.bias']]
)
def test_parts_may_start_anew(names, bare, source, tmp_path):
    if bare:
        torch.save(weights(source), source)
    model = Net(classes=3)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    ema = [dict(type='EMAHook')]
    settings = dict(load_from=str(source), load_except=names, custom_hooks=ema)
    make(tmp_path / 'run', model, **settings).train()
    start = torch.load(source, weights_only=True)
    start = start.get('state_dict', start)
    for key, value in model.state_dict().items():
        expected = before[key] if 'cls_head' in key else start[key]
        assert torch.equal(value, expected), key
    for key, value in weights(tmp_path / 'run/epoch_1.pth').items():  # averaged
        assert torch.equal(value, model.state_dict()[key]), key


def test_a_part_that_fits_starts_anew_too(source, tmp_path):
    model = Net()
    before = model.cls_head.weight.clone()
    settings = dict(load_from=str(source), load_except=['cls_head'])
    make(tmp_path / 'run', model, **settings).train()
    assert torch.equal(model.cls_head.weight, before)


ANEW = [
    (['cls_haed'], "'cls_haed', which is no part of this Net; did you mean 'cls_head'"),
    (['cls'], "'cls', which is no part of this Net"),
    (['backbone', 'cls_head'], 'leaves nothing to load'),
    (['backbone.weight'], '2 of another shape'),  # the head still does not fit
]


@pytest.mark.parametrize(('names', 'text'), ANEW)
def test_what_cannot_start_anew(names, text, source, tmp_path):
    settings = dict(load_from=str(source), load_except=names)
    runner = make(tmp_path / 'run', Net(classes=3), **settings)
    with pytest.raises(ValueError, match=text):
        check_start(runner)
    with pytest.raises(ValueError, match=text):
        runner.train()


def test_a_run_goes_on_with_everything(source, tmp_path):
    """`load_except` is for starting; a resumed run takes the head too."""
    settings = dict(load_except=['cls_head'], resume=True)
    model = Net()
    make(source.parent, model, **settings).train()
    assert torch.equal(model.cls_head.weight, weights(source)['cls_head.weight'])
    with pytest.raises(ValueError, match='2 of another shape; was it trained'):
        make(source.parent, Net(classes=3), **settings).train()


def test_tests_take_everything_whatever_may_start_anew(source, tmp_path):
    runner = make(tmp_path / 'run', Net(), load_except=['cls_head'])
    hook = next(hook for hook in runner.hooks if isinstance(hook, StrictLoadHook))
    checkpoint = torch.load(source, weights_only=True)
    hook.after_load_checkpoint(runner, checkpoint)  # no training loop: for a test
    assert 'cls_head.weight' in checkpoint['state_dict']


def test_nothing_to_resume_starts_from_load_from(source, tmp_path):
    model = Net()
    runner = make(tmp_path / 'run', model, resume=True)
    check_start(runner, otherwise=str(source))
    runner.train()
    assert torch.equal(model.backbone.weight, weights(source)['backbone.weight'])
    (tmp_path / 'none').mkdir()
    runner = make(tmp_path / 'none', Net(), load_except=['cls_head'])
    with pytest.raises(ValueError, match='but the config has no load_from'):
        check_start(runner)


@pytest.mark.parametrize('prefix', ['backbone.', ''])
def test_a_backbone_in_another_model_is_offered(prefix, source, tmp_path):
    state = {k: v for k, v in weights(source).items() if k.startswith('backbone.')}
    state = {prefix + k.removeprefix('backbone.'): v for k, v in state.items()}
    torch.save(dict(state_dict=state | {'fc.bias': torch.ones(9)}), source)
    told = f", prefix='{prefix}'" if prefix else ''
    text = rf"init_cfg=dict\(type='Pretrained', checkpoint='{source}'{told}\)"
    with pytest.raises(ValueError, match=text):
        make(tmp_path / 'run', Net(), load_from=str(source)).train()


def test_starting_weights_of_other_modules_fit_too(source, tmp_path):
    """MMEngine's own `Pretrained`, which loads what fits."""
    init_cfg = dict(type='Pretrained', checkpoint=str(source))
    model = Net(init_cfg=init_cfg)
    make(tmp_path / 'run', model).train()
    assert torch.equal(model.backbone.weight, weights(source)['backbone.weight'])
    text = 'from which Net is to start, does not fit its 4 tensors: 2 of another shape'
    with pytest.raises(ValueError, match=text):
        make(tmp_path / 'other', Net(classes=3, init_cfg=init_cfg)).train()
    wrong = Net(init_cfg=init_cfg | dict(prefix='neck'))
    with pytest.raises(ValueError, match='does not fit its 4 tensors: 4 missing'):
        make(tmp_path / 'prefix', wrong).train()


NAMES = [
    ('resnet18-f37072fd.pth', 'f37072fd'),
    ('vim2_20260101_120000-0123abcd.pth', '0123abcd'),
    ('x-' + 'ab' * 32 + '.safetensors', 'ab' * 32),
    ('vim2-20260131.pth', None),  # a day
    ('vim2_20260131.pth', None),
    ('epoch_12.pth', None),
    ('vim2-tiny.pth', None),
    ('deadbeef.pth', None),
]


@pytest.mark.parametrize(('name', 'digits'), NAMES)
def test_digits_of_a_name(name, digits):
    assert in_name(name) == digits


def test_a_digest_in_the_name_must_be_that_of_the_file(tmp_path):
    digits = hashlib.sha256(b'weights').hexdigest()[:8]
    path = tmp_path / f'x-{digits}.pth'
    path.write_bytes(b'weights')
    check_digest(path)
    path.write_bytes(b'others')
    with pytest.raises(ValueError, match=f'by its name .* begins with {digits}'):
        check_digest(path)
