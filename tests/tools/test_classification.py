"""The tools end to end on a few real digits, and the sentences for wrong input."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip('mmpretrain')
pytest.importorskip('sklearn')

ROOT = Path(__file__).parents[2]
DEMO = ROOT / 'configs/demo/vim2_digits.py'
CONFIG = """
_base_ = {demo!r}
model = dict(
    backbone=dict(arch=dict(embed_dims=(8, 16), depths=(1, 1)), d_state=2),
    head=dict(in_channels=16),
)
for_all = dict(data_root={data!r}, indices=list(range(0, 350, 20)))
workers = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(batch_size=6, dataset=for_all, **workers)
val_dataloader = dict(batch_size=6, dataset=for_all, **workers)
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=1)
default_hooks = dict(checkpoint=dict(interval=1), logger=dict(interval=1))
auto_scale_lr = dict(base_batch_size=3)
"""


def load_tool(name: str):
    spec = importlib.util.spec_from_file_location(
        f'tool_{name}', ROOT / f'tools/{name}'
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='module')
def place(tmp_path_factory) -> Path:
    """A folder with digits and a config of a very small ViM2."""
    folder = tmp_path_factory.mktemp('tools')
    load_tool('make_digits.py').write_classes(folder / 'digits', 0.25, 0)
    text = CONFIG.format(demo=str(DEMO), data=str(folder / 'digits'))
    (folder / 'config.py').write_text(text)
    return folder


@pytest.fixture(scope='module')
def trained(place, run) -> Path:
    """The work dir after one epoch."""
    run(ROOT / 'tools/train.py', 'config.py', '--work-dir', 'run', cwd=place)
    return place / 'run'


def test_training_leaves_a_checkpoint_of_plain_data(trained):
    checkpoint = torch.load(trained / 'epoch_1.pth', weights_only=True)
    assert checkpoint['meta']['epoch'] == 1
    assert checkpoint['message_hub']['log_scalars']
    assert Path((trained / 'last_checkpoint').read_text()).name == 'epoch_1.pth'


def test_resume_goes_on_with_log_and_optimizer(place, trained, run):
    options = ['train_cfg.max_epochs=2', 'work_dir=resumed']
    command = [
        'config.py',
        '--resume',
        trained / 'epoch_1.pth',
        '--cfg-options',
        *options,
    ]
    output = run(ROOT / 'tools/train.py', *command, cwd=place)
    assert 'resumed epoch: 1, iter: 3' in output
    assert 'Epoch(train) [1]' not in output and 'Epoch(train) [2]' in output
    new = torch.load(place / 'resumed/epoch_2.pth', weights_only=True)
    steps = {int(state['step']) for state in new['optimizer']['state'].values()}
    assert steps == {6}
    losses = new['message_hub']['log_scalars']['train/loss']['values']
    old = torch.load(trained / 'epoch_1.pth', weights_only=True)
    start = old['message_hub']['log_scalars']['train/loss']['values']
    assert len(losses) == 6 and torch.equal(losses[:3], start)


def test_test_reports_the_accuracy_that_predict_counts(place, trained, run):
    checkpoint = trained / 'epoch_1.pth'
    out = ['--out', 'metrics.json', '--out-item', 'metrics', '--work-dir', 'tested']
    whole = ['--cfg-options', 'test_dataloader.dataset.indices=None']
    run(ROOT / 'tools/test.py', 'config.py', checkpoint, *out, *whole, cwd=place)
    metrics = json.loads((place / 'metrics.json').read_text())

    command = [
        'config.py',
        checkpoint,
        'digits/test',
        '--out',
        'predicted',
        '--show',
        9,
    ]
    output = run(ROOT / 'tools/predict.py', *command, cwd=place)
    results = json.loads((place / 'predicted/predictions.json').read_text())
    assert len(results) == len(list((place / 'digits/test').rglob('*.png')))
    right = sum(r['label'] == r['truth'] for r in results)
    assert 100 * right / len(results) == pytest.approx(
        metrics['accuracy/top1'], abs=1e-3
    )
    assert all(0.1 <= r['confidence'] <= 1 for r in results)
    assert f'{right} of {len(results)} right' in output
    assert (place / 'predicted/predictions.png').stat().st_size > 1000


def test_curves_are_drawn_from_the_log(place, trained, run):
    run(ROOT / 'tools/plot_curves.py', trained, cwd=place)
    assert (trained / 'curves.png').read_bytes().startswith(b'\x89PNG')
    with pytest.raises(ValueError, match='no accuracy/top5, only accuracy/top1'):
        tool = load_tool('plot_curves.py')
        tool.draw(tool.read_log(trained), 'accuracy/top5', place / 'x.png')


def test_the_config_runs_under_mmpretrains_own_tools(place, run):
    import mmpretrain

    stock = Path(mmpretrain.__file__).parent / '.mim/tools'
    run(stock / 'train.py', 'config.py', '--work-dir', 'stock', cwd=place)
    torch.load(place / 'stock/epoch_1.pth', weights_only=True)
    args = ['config.py', 'stock/epoch_1.pth', '--out', 'stock/metrics.json']
    args += ['--out-item', 'metrics', '--work-dir', 'stock']
    run(stock / 'test.py', *args, cwd=place)
    assert 'accuracy/top1' in json.loads((place / 'stock/metrics.json').read_text())


def make_config(monkeypatch, place: Path, *args: object):
    tool = load_tool('train.py')
    argv = ['train.py', place / 'config.py', *args]
    monkeypatch.setattr(sys, 'argv', list(map(str, argv)))
    return tool.make_config(tool.parse_args())


def test_options_of_the_command_line(place, monkeypatch):
    config = make_config(monkeypatch, place)
    assert config.work_dir == os.path.join('work_dirs', 'config')
    assert config.train_dataloader.collate_fn.type == 'default_collate'
    assert not config.auto_scale_lr.get('enable')

    wrapper = make_config(monkeypatch, place, '--amp').optim_wrapper
    assert wrapper.type == 'AmpOptimWrapper' and wrapper.loss_scale == 'dynamic'

    flags = ['--no-validate', '--auto-scale-lr', '--no-pin-memory', '--resume']
    options = ['--cfg-options', 'train_dataloader.batch_size=2']
    config = make_config(monkeypatch, place, *flags, *options)
    assert config.val_cfg is None and config.val_dataloader is None
    assert config.auto_scale_lr.enable and config.resume is True
    assert config.load_from is None
    assert config.train_dataloader.pin_memory is False
    assert config.train_dataloader.batch_size == 2


SENTENCES = [
    ('train.py', ['none.py'], 'no config at none.py'),
    ('train.py', ['{config}', '--resume', 'none.pth'], 'no checkpoint at none.pth'),
    (
        'train.py',
        ['{config}', '--cfg-options', 'train_dataloader.dataset.data_root=none'],
        'no data folder none, named by train_dataloader',
    ),
    (
        'train.py',
        ['{config}', '--cfg-options', 'train_dataloader.dataset.data_root={empty}'],
        'is empty',
    ),
    (
        'train.py',
        ['{config}', '--cfg-options', 'train_dataloader.dataset.data_prefix=train/3'],
        'Found 0 files in subfolders',
    ),
    ('train.py', ['{config}', '--cfg-options', 'model.backbone.arch=huge'], 'huge'),
    (
        'train.py',
        ['{config}', '--cfg-options', 'model.backbone.depth=3'],
        "unexpected keyword argument 'depth'",
    ),
    ('test.py', ['{config}', 'none.pth'], 'no checkpoint at none.pth'),
    (
        'test.py',
        ['{config}', '{checkpoint}', '--cfg-options', 'model.backbone.d_state=3'],
        'does not fit this ImageClassifier of 41 tensors: 4 of another shape',
    ),
    (
        'test.py',
        ['{config}', '{checkpoint}', '--tta', '--show-dir', 'x'],
        'cannot show --tta batches',
    ),
    ('predict.py', ['{config}', '{checkpoint}', '{empty}', '--out', 'x'], 'no images'),
    ('predict.py', ['{config}', '{checkpoint}', 'none', '--out', 'x'], 'no image or'),
]


@pytest.mark.parametrize(('tool', 'args', 'sentence'), SENTENCES)
def test_wrong_input_ends_in_one_sentence(
    tool, args, sentence, place, trained, tmp_path, monkeypatch
):
    empty = tmp_path / 'empty'
    empty.mkdir()
    names = dict(
        config=place / 'config.py', checkpoint=trained / 'epoch_1.pth', empty=empty
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'argv', [tool, *(arg.format(**names) for arg in args)])
    with pytest.raises(SystemExit) as end:
        load_tool(tool).main()
    assert str(end.value.code).startswith('error: ')
    assert sentence in str(end.value.code)


def test_an_unreadable_image_is_named_while_training(place, tmp_path, monkeypatch):
    shutil.copytree(place / 'digits', tmp_path / 'digits')
    bad = min((tmp_path / 'digits/train/0').iterdir())  # its index is in every run
    bad.write_bytes(b'')
    options = [f'train_dataloader.dataset.data_root={tmp_path / "digits"}']
    argv = ['train.py', str(place / 'config.py'), '--work-dir', str(tmp_path / 'run')]
    monkeypatch.setattr(sys, 'argv', [*argv, '--cfg-options', *options])
    with pytest.raises(SystemExit, match=f'^error: the image {bad} cannot be read'):
        load_tool('train.py').main()


@pytest.mark.parametrize('script', ['dist_train', 'dist_test', 'slurm_train', 'setup'])
def test_shell_scripts_say_how_they_are_used(script):
    command = ['bash', ROOT / f'tools/{script}.sh']
    result = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert result.returncode != 0
    assert 'usage' in result.stderr
