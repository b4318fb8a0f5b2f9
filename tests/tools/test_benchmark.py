"""`tools/analysis_tools/benchmark.py`: every framework, both steps, bad weights."""

import json

import pytest
import torch

TOOL = 'analysis_tools/benchmark.py'
SHORT = ['--warm-up', 0, '--steps', 2, '--seconds', 0, '--shape', 64, 72]
ONE_BATCH = [(fw, step) for fw in ('mmdet', 'mmseg') for step in ([], ['--train'])]


@pytest.mark.parametrize(('framework', 'step'), ONE_BATCH)
def test_a_measurement_says_its_conditions(
    framework, step, configs, tmp_path, call, capsys
):
    pytest.importorskip(framework)
    args = [configs[framework], *SHORT, *step, '--batch-size', 2, '--out', 'b.json']
    call(TOOL, *args)
    told = json.loads((tmp_path / 'b.json').read_text())
    assert told['step'] == ('training' if step else 'test')
    assert told['shape'] == [64, 72] and told['dtype'] == 'float32'
    assert told['steps'] == 2 and told['threads'] == torch.get_num_threads()
    low, high = told['ms_per_image_quartiles']
    assert 0 < low <= told['ms_per_image'] <= high
    rate = told['images_per_second'] * told['ms_per_image']
    assert rate == pytest.approx(1000)
    assert told['peak_memory_mib'] > 100
    assert told['environment']['torch'] == torch.__version__
    assert 'images/s' in capsys.readouterr().out


def test_a_classifier_in_bfloat16(tmp_path, call, capsys):
    pytest.importorskip('mmpretrain')
    text = """
default_scope = 'mmpretrain'
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='mmmambamixer.ViM2',
        arch=dict(embed_dims=(8, 16), depths=(1, 1)),
        out_indices=(1,),
        d_state=1,
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=3, in_channels=16),
)
"""
    (tmp_path / 'c.py').write_text(text)
    call(TOOL, 'c.py', *SHORT, '--amp')
    assert '64 x 72, bfloat16 autocast' in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r'head\.in_channels must be 16, .* got 8'):
        call(TOOL, 'c.py', *SHORT, '--cfg-options', 'model.head.in_channels=8')


@pytest.mark.parametrize('framework', ['mmdet', 'mmseg'])
def test_what_is_not_finite_is_not_measured(framework, configs, trained, call):
    checkpoint = torch.load(trained[framework], weights_only=True)
    checkpoint['state_dict']['backbone.stem.proj.weight'][0] = 3e38  # overflows
    path = trained[framework].with_name('overflows.pth')
    torch.save(dict(state_dict=checkpoint['state_dict']), path)
    with pytest.raises(SystemExit, match='numbers that are not finite'):
        call(TOOL, configs[framework], *SHORT, '--checkpoint', path)


def test_one_step_has_no_spread(configs, call):
    with pytest.raises(SystemExit, match='--steps must be 2 or more, got 1'):
        call(TOOL, configs['mmseg'], '--steps', 1)
