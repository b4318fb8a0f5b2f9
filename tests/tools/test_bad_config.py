"""Configs and command lines that make no sense: one sentence, before any iteration."""

import pytest

pytest.importorskip('mmpretrain')

import torch
from mmengine.registry import init_default_scope

from mmmambamixer.engine.config import load_config, merge_options
from mmmambamixer.inference.pipeline import ImagePipeline
from mmmambamixer.preflight.config import check_config
from mmmambamixer.preflight.data import pipelines

OPTIONS = [
    # parts of the model
    ('model.type=ImageClasifier', "registry; did you mean 'ImageClassifier'?"),
    ('model.backbone.type=ViM3', "registry; did you mean 'ViM2'?"),
    ('model.backbone.drop_path_rat=0.1', "'drop_path_rat'; did you mean 'drop_path_"),
    ('model.backbone.d_state=0', 'd_state must be an integer from 1, got 0'),
    ('model.backbone.in_channels=4', 'data_preprocessor.mean has 3 numbers, but bac'),
    ('model.backbon.d_state=3', "'backbon'; did you mean 'backbone'?"),
    ('model.head.num_clases=2', "'num_clases'; did you mean 'num_classes'?"),
    ('model.head.num_classes=3', 'head.num_classes must be 2, the number of classes'),
    ('model.head.in_channels=8', 'head.in_channels must be 16, for the backbone'),
    ('data_preprocessor.mean=[1,2]', 'mean has 2 numbers, but backbone.in_channels'),
    ('data_preprocessor.std=[60,0,60]', 'std must be positive, got [60, 0, 60]'),
    # sections
    ('model=None', 'the config has no model; training needs it'),
    ('train_dataloader=None', 'the config has no train_dataloader; training needs it'),
    ('train_cfg=None', 'the config has no train_cfg; training needs it'),
    ('optim_wrapper=None', 'the config has no optim_wrapper; training needs it'),
    ('val_evaluator=None', 'the config has no val_evaluator; validating'),
    ('model=x', "model must be a dict, got 'x'; --cfg-options takes the entries of"),
    ('train_dataloader=5', 'train_dataloader must be a dict, got 5'),
    ('train_dataloader.dataset=5', 'train_dataloader.dataset must be a dict, got 5'),
    ('train_dataloader.sampler=5', 'train_dataloader.sampler must be a dict, got 5'),
    ('train_dataloader.batch_size=None', 'must be an integer from 1, got None'),
    ('val_evaluator=5', 'val_evaluator must be a dict, got 5'),
    ('model.backbone=5', 'model.backbone must be a dict, got 5'),
    ('auto_scale_lr=5', 'auto_scale_lr must be a dict, got 5'),
    ('log_processor.window_size=x', "an integer of at least 1, got 'x'"),
    ('default_hooks.checkpoint=5', 'default_hooks.checkpoint must be a dict, got 5'),
    ('default_hooks.checkpoint.interval=x', "or -1 for no checkpoint, got 'x'"),
    ('train_cfg.val_begin=x', "train_cfg.val_begin must be a whole number, got 'x'"),
    ('model.head=None', 'model.head is missing: a classifier needs it to be trained'),
    ('train_cfg=[a,b]', "train_cfg must be a dict, got ['a', 'b']"),
    ('default_scope=mmpretrai', "'mmpretrai'; did you mean 'mmpretrain'?"),
    ('runner_type=SafeRuner', "runner registry; did you mean 'SafeRunner'?"),
    # training
    ('train_cfg.max_epochs=0', 'train_cfg.max_epochs must be at least 1, got 0'),
    ('train_cfg.max_epochs=-3', 'train_cfg.max_epochs must be at least 1, got -3'),
    ('train_cfg.val_interval=0', 'train_cfg.val_interval must be at least 1, got 0'),
    ('train_cfg.val_interval=1.5', 'train_cfg.val_interval must be a whole number'),
    ('train_dataloader.sampler.type=InfiniteSampler', 'InfiniteSampler never ends'),
    ('train_cfg.max_epoch=3', "'max_epoch'; did you mean 'max_epochs'?"),
    ('default_hooks.checkpoint.interval=0', 'interval must be at least 1, or -1'),
    ('optim_wrapper.optimizer.type=AdamX', "no optimiser 'AdamX'; did you mean 'Adam"),
    ('optim_wrapper.optimizer.lr=1e-3x', 'optimizer.lr must be a number, got the text'),
    (
        'optim_wrapper.paramwise_cfg.norm_decay_multi=0',
        "'norm_decay_multi', which nothing reads; did you mean 'norm_decay_mult'?",
    ),
    (
        'optim_wrapper.paramwise_cfg.norm_decay_mult=0',
        'has norm_decay_mult, but the optimizer has no weight_decay to multiply',
    ),
    ('train_dataloader.sampler.type=DefaultSamplr', "did you mean 'DefaultSampler'?"),
    ('optim_wrapper.optimizer=5', 'optimizer must be a dict with a type, got 5'),
    ('optim_wrapper.optimizer.lr=-1', 'Invalid learning rate: -1'),
    ('param_scheduler.type=Cosine', 'Cosine is not in the'),
    ('optim_wrapper.clip_grad.norm=1', 'not take: expected max_norm, norm_type, '),
    ('optim_wrapper.clip_grad.norm_type=2', 'clip_grad.max_norm must be a positive '),
    ('optim_wrapper.clip_grad.max_norm=-1', 'must be a positive number, got -1'),
    ('model.neck.dim=3', 'neck.dim must be 2, for the backbone gives maps'),
    ('model.neck.dim=1', 'neck.dim must be 2, for the backbone gives maps'),
    ('custom_imports.imports=[no_x]', 'custom_imports has no_x, which cannot be impor'),
    ('val_evaluator.type=CocoMetric', "registry; did you mean 'mmdet.CocoMetric'?"),
    # data
    ('train_dataloader.batch_size=0', 'train_dataloader cannot be made: batch_size'),
    ('train_dataloader.num_workers=-1', 'num_workers option should be non-negative'),
    ('train_dataloader.batch_siz=2', "'batch_siz'; did you mean 'batch_size'?"),
    ('train_dataloader.dataset.type=CustomDatset', "you mean 'CustomDataset'?"),
    ('train_dataloader.dataset.ann_file=no.txt', 'no annotation file {data}/no.txt'),
    ('train_dataloader.dataset.data_prefix=no', 'no data folder {data}/no, named by'),
    ('train_dataloader.dataset.pipeline.1.type=Resiz', "did you mean 'Resize'?"),
    ('train_dataloader.dataset.pipeline.1.scal=6', "'scal'; did you mean 'scale'?"),
    (
        'train_dataloader.dataset.metainfo.classes=[a,b,c]',
        'val_dataloader lacks a, b, c',
    ),
    ('val_evaluator.type=Acuracy', "metric registry; did you mean 'Accuracy'?"),
    # what does not fit the config
    ('train_dataloade.batch_size=3', "no 'train_dataloade'; did you mean 'train_data"),
    ('train_dataloader.dataset.pipeline.9.type=Resize', 'Index 9 exceeds the length'),
    ('env_cfg.cudnn_benchmar=1', "no 'cudnn_benchmar'; did you mean 'cudnn_benchmark"),
    ('load_except=head', 'load_except names parts that are not loaded'),
]


@pytest.mark.parametrize(('option', 'text'), OPTIONS)
def test_options(option, text, configs, scenes, call):
    with pytest.raises(SystemExit) as end:
        call('train.py', configs['mmpretrain'], '--cfg-options', option)
    sentence = str(end.value.code)
    assert sentence.startswith('error: ') and '\n' not in sentence
    assert text.format(data=scenes) in sentence


FILES = [
    ('x.py', 'model = dict(', '{path} is not Python, line 1: '),
    ('x.py', 'hello world', '{path} is not Python, line 1: invalid syntax'),
    ('x.py', 'a = b', "{path} cannot be read as a config: NameError, name 'b' is not"),
    ('x.py', "_base_ = 'no.py'", 'cannot be read as a config: FileNotFoundError'),
    ('x.py', "_base_ = 'mmfoo::a.py'", '{path} cannot be read as a config: '),
    ('x.json', '{"model": ', '{path} cannot be read as a config: JSONDecodeError'),
    ('x.yml', 'model: {', '{path} cannot be read as a config: ParserError'),
    (
        'x.py',
        "custom_imports = dict(imports=['no_such_x'])",
        '{path}: custom_imports has no_such_x, which cannot be imported: ModuleNotFou',
    ),
    ('x.toml', 'model = 1', 'a config ends in .py, .json, .yml, .yaml, got {path}'),
]


@pytest.mark.parametrize(('name', 'content', 'text'), FILES)
def test_files(name, content, text, tmp_path):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(ValueError) as error:
        load_config(path)
    assert text.format(path=path) in str(error.value)
    assert '\n' not in str(error.value)


def test_the_base_at_fault_is_named(tmp_path):
    (tmp_path / 'base.py').write_text('a = 1\nb = = 2\n')
    (tmp_path / 'top.py').write_text("_base_ = 'base.py'\n")
    with pytest.raises(ValueError, match=r'base\.py is not Python, line 2: '):
        load_config(tmp_path / 'top.py')


@pytest.mark.parametrize('path', ['none.py', '.'])
def test_no_file(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=f'no config at {path}'):
        load_config(path)


MISSPELT = [
    ('lod_from', 'load_from'),
    ('train_dataloaders', 'train_dataloader'),
    ('custom_hook', 'custom_hooks'),
    ('param_schedulers', 'param_scheduler'),
    ('resum', 'resume'),
]


@pytest.mark.parametrize(('name', 'meant'), MISSPELT)
def test_a_misspelt_section_of_a_file_is_refused(name, meant, configs):
    config = load_config(configs['mmpretrain'])
    config[name] = None
    text = f"the config has '{name}', which nothing reads; did you mean '{meant}'"
    with pytest.raises(ValueError, match=text):
        check_config(config, 'train')


def test_variables_of_ones_own_are_fine(configs):
    config = load_config(configs['mmpretrain'])
    merge_options(config, {'tta_pipeline': [], 'load_except': ['head'], 'resize': 3})
    merge_options(config, {'env_cfg.another': 1, 'train_pipeline.1.scale': 32})
    merge_options(config, {'env_cfg.level1': 1})
    merge_options(config, {'env_cfg.level2': 1})
    for name in ('num_classes', 'train_pipeline', 'norm_cfg', 'dataset_type'):
        config[name] = 3
    check_config(config, 'train')
    check_config(config, 'test')
    config.pop('test_evaluator')
    with pytest.raises(ValueError, match='no test_evaluator; testing needs it'):
        check_config(config, 'test')


PREDICT = ['{config}', 'x.pth', '{image}', '--out', 'o']
COMMANDS = [
    ('train.py', ['none.py'], 'error: no config at none.py'),
    ('train.py', ['{config}', '--resume', ''], '--resume got an empty name'),
    (
        'train.py',
        ['{config}', '--auto-scale-lr'],
        '--auto-scale-lr needs auto_scale_lr',
    ),
    (
        'train.py',
        ['{config}', '--launcher', 'pytorch'],
        'needs RANK, WORLD_SIZE',
    ),
    ('train.py', ['{config}', '--launcher', 'slurm'], 'needs SLURM_PROCID, SLURM_NTAS'),
    ('train.py', ['{config}', '--launcher', 'mpi'], 'needs OMPI_COMM_WORLD_RANK'),
    (
        'test.py',
        ['{config}', 'x.pth', '--out', 'x.txt'],
        'ends in .pkl, .pickle, got x',
    ),
    ('test.py', ['{config}', 'none.pth'], 'error: no checkpoint at none.pth'),
    ('test.py', ['{config}', 'x', '--show-dir', '{config}'], 'got the file'),
    ('test.py', ['{config}', 'x', '--work-dir', '{config}/a'], 'got the file'),
    ('test.py', ['{config}', 'x', '--out', '{config}/x.pkl'], '--out is a folder for'),
    ('train.py', ['{config}', '--work-dir', '{image}'], '--work-dir is a folder for'),
    ('export.py', ['{config}', 'none.pth', 'o.onnx'], 'no checkpoint at none.pth'),
    (
        'export.py',
        ['{config}', 'x.pth', 'o.onnx', '--cfg-options', 'model=None'],
        'the config has no model; export needs it',
    ),
    (
        'analysis_tools/visualize_selection.py',
        ['{config}', '{image}', '--out', '{image}'],
        'got the file',
    ),
    (
        'predict.py',
        ['{config}', 'x.pth', 'no', '--out', 'o'],
        'no image or folder at no',
    ),
    ('predict.py', ['{config}', 'x.pth', '.', '--out', '{config}'], 'got the file'),
    ('predict.py', [*PREDICT, '--device', 'gpu'], 'the device must be'),
    ('predict.py', [*PREDICT, '--device', 'meta'], 'meta cannot compute'),
]


@pytest.mark.parametrize(('tool', 'args', 'text'), COMMANDS)
def test_commands(tool, args, text, configs, scenes, call, monkeypatch):
    for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'SLURM_PROCID'):
        monkeypatch.delenv(name, raising=False)
    names = dict(config=configs['mmpretrain'], image=scenes / 'images/0.png')
    with pytest.raises(SystemExit) as end:
        call(tool, *(arg.format(**names) for arg in args))
    sentence = str(end.value.code)
    assert sentence.startswith('error: ') and '\n' not in sentence
    assert text in sentence


ABCD = ['a', 'b', 'c', '--out', 'd']
USAGE = [
    ('train.py', [], 'the following arguments are required: config'),
    ('train.py', ['x.py', '--cfg-options', 'abc'], 'takes KEY=VALUE, got abc'),
    ('train.py', ['x.py', '--cfg-options', '=3'], 'takes KEY=VALUE, got =3'),
    ('train.py', ['x.py', '--cfg-options', 'a=dict(b=1,c=2)'], 'entries of a dict one'),
    ('train.py', ['x.py', '--launcher', 'slum'], "invalid choice: 'slum'"),
    ('train.py', ['x.py', '--lr', '3'], 'unrecognized arguments: --lr 3'),
    ('test.py', ['x.py'], 'the following arguments are required: checkpoint'),
    ('test.py', ['x.py', 'x.pth', '--interval', '0'], 'an integer from 1, got 0'),
    ('test.py', ['x.py', 'x.pth', '--out-item', 'x'], "invalid choice: 'x'"),
    ('predict.py', ['x.py', 'x.pth', '.'], 'arguments are required: --out'),
    ('predict.py', [*ABCD, '--batch-size', '0'], 'from 1, got 0'),
    ('predict.py', [*ABCD, '--show', '-1'], 'from 1, got -1'),
    ('predict.py', [*ABCD, '--score-threshold', '2'], 'to 1, got 2'),
    ('predict.py', [*ABCD, '--score-threshold', 'nan'], 'got nan'),
]


@pytest.mark.parametrize(('tool', 'args', 'text'), USAGE)
def test_usage(tool, args, text, call, capsys):
    with pytest.raises(SystemExit) as end:
        call(tool, *args)
    assert end.value.code == 2
    assert text in capsys.readouterr().err


DECODERS = dict(tifffile='tifffile', turbojpeg='PyTurboJPEG')


@pytest.mark.parametrize('backend', DECODERS)
def test_a_decoder_that_is_not_installed(backend, configs, call, monkeypatch):
    """In training and in predictions, before an image is read."""
    find = pipelines.find_spec
    monkeypatch.setattr(
        pipelines, 'find_spec', lambda x: None if x == backend else find(x)
    )
    told = f"imdecode_backend='{backend}', which needs the package {DECODERS[backend]}"
    config = load_config(configs['mmpretrain'])
    config.test_dataloader.dataset.pipeline[0].imdecode_backend = backend
    init_default_scope('mmpretrain')
    with pytest.raises(ValueError, match=told):
        ImagePipeline(config)
    option = f'train_dataloader.dataset.pipeline.0.imdecode_backend={backend}'
    with pytest.raises(SystemExit, match=told):
        call('train.py', configs['mmpretrain'], '--cfg-options', option)


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_a_gpu_that_is_not_there(configs, scenes, call):
    image = scenes / 'images/0.png'
    args = [configs['mmpretrain'], 'x.pth', image, '--out', 'o', '--device', 'cuda:1']
    told = 'there is no device cuda:1, torch sees no GPU'
    with pytest.raises(SystemExit, match=told):
        call('predict.py', *args)


def test_a_bug_after_the_first_batch_keeps_its_traceback(configs, call, monkeypatch):
    from mmpretrain.models import ImageClassifier

    def fail(*_, **__):
        raise ValueError('a bug')

    monkeypatch.setattr(ImageClassifier, 'loss', fail)
    with pytest.raises(ValueError, match='a bug'):
        call('train.py', configs['mmpretrain'])


def test_the_traceback_can_be_had(configs, call, monkeypatch):
    monkeypatch.setenv('MMMAMBAMIXER_TRACEBACK', '1')
    with pytest.raises(ValueError, match='no train_cfg'):
        call('train.py', configs['mmpretrain'], '--cfg-options', 'train_cfg=None')
