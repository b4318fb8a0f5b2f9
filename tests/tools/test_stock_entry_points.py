"""The frameworks' own tools and functions on our configs; two processes on a CPU."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmmambamixer.engine.ranks import check_norms

ROOT = Path(__file__).parents[2]
BOTH = pytest.mark.parametrize('framework', ['mmdet', 'mmseg'])
METRICS = {'mmdet': 'coco/segm_mAP', 'mmseg': 'mIoU'}


def stock_tool(framework: str, name: str) -> Path:
    module = import_module(framework)
    return Path(module.__file__).parent / '.mim/tools' / name


@BOTH
def test_the_stock_tools_train_and_test(framework, configs, run, tmp_path):
    pytest.importorskip(framework)
    options = ['--cfg-options', 'train_dataloader.batch_size=4']
    args = [configs[framework], '--work-dir', 'run', *options]
    run(stock_tool(framework, 'train.py'), *args, cwd=tmp_path)
    checkpoint = torch.load(tmp_path / 'run/epoch_1.pth', weights_only=True)
    assert checkpoint['meta']['iter'] == 1  # 4 images in one batch
    args = [configs[framework], 'run/epoch_1.pth', '--work-dir', 'tested']
    output = run(stock_tool(framework, 'test.py'), *args, cwd=tmp_path)
    assert METRICS[framework] in output


def write_config(path: Path, base: Path, text: str) -> Path:
    path.write_text(f'_base_ = [{str(base)!r}]\n{text}')
    return path


@BOTH
def test_resume_with_ema_and_pictures(framework, configs, trained, tmp_path, call):
    """Going on from a checkpoint, with two stock hooks that were not there before."""
    text = """
train_cfg = dict(max_epochs=2)
custom_hooks = [dict(type='EMAHook', momentum=0.1)]
default_hooks = dict(visualization=dict(draw=True, interval=1))
visualizer = dict(name='resumed_{framework}')
"""
    text = text.format(framework=framework)
    config = write_config(tmp_path / 'resumed.py', configs[framework], text)
    call('train.py', config, '--resume', trained[framework], '--work-dir', 'run')
    new = torch.load(tmp_path / 'run/epoch_2.pth', weights_only=True)
    assert new['meta']['iter'] == 4
    steps = {int(state['step']) for state in new['optimizer']['state'].values()}
    assert steps == {4}
    name = 'backbone.stem.proj.weight'
    averages = new['ema_state_dict'][f'module.{name}']
    assert not torch.equal(averages, new['state_dict'][name])
    assert list((tmp_path / 'run').rglob('vis_image/*.png'))


def test_tensorboard_gets_the_losses(configs, tmp_path, call):
    pytest.importorskip('tensorboard')
    pytest.importorskip('mmseg')
    text = """
vis_backends = [dict(type='TensorboardVisBackend')]
visualizer = dict(name='tensorboard', vis_backends=vis_backends)
"""
    config = write_config(tmp_path / 'board.py', configs['mmseg'], text)
    call('train.py', config, '--work-dir', 'run', '--no-validate')
    (events,) = (tmp_path / 'run').rglob('events.out.tfevents.*')
    assert b'decode.loss_ce' in events.read_bytes()


def test_detector_functions(configs, trained, scenes):
    pytest.importorskip('mmdet')
    from mmdet.apis import DetInferencer, inference_detector, init_detector

    image, path = str(scenes / 'images/1.png'), str(configs['mmdet'])
    model = init_detector(path, str(trained['mmdet']), device='cpu')
    assert type(model.backbone).__name__ == 'ViM2'
    assert model.dataset_meta['classes'] == ('square', 'stripe')
    found = inference_detector(model, image).pred_instances
    assert found.masks.shape == (5, 64, 72)

    inferencer = DetInferencer(path, str(trained['mmdet']), device='cpu')
    (result,) = inferencer(image, no_save_vis=True)['predictions']
    np.testing.assert_allclose(result['bboxes'], found.bboxes, atol=1e-4)
    np.testing.assert_allclose(result['scores'], found.scores, atol=1e-6)


def test_segmenter_functions(configs, trained, scenes):
    pytest.importorskip('mmseg')
    from mmseg.apis import MMSegInferencer, inference_model, init_model

    image, path = str(scenes / 'images/1.png'), str(configs['mmseg'])
    model = init_model(path, str(trained['mmseg']), device='cpu')
    assert type(model.backbone).__name__ == 'ViM2'
    assert model.dataset_meta['classes'] == ('ground', 'square', 'stripe')
    sample = inference_model(model, image)
    labels = sample.pred_sem_seg.data[0].numpy()
    assert labels.shape == (64, 72)
    assert torch.equal(sample.seg_logits.data.argmax(0), sample.pred_sem_seg.data[0])

    inferencer = MMSegInferencer(path, str(trained['mmseg']), device='cpu')
    assert np.array_equal(inferencer(image)['predictions'], labels)


RANKS = """
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class SaveEachRank(Hook):
    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        with open(f'images{get_rank()}.txt', 'a') as file:
            file.writelines(s.img_path + '\\n' for s in data_batch['data_samples'])

    def after_train(self, runner):
        torch.save(runner.model.module.state_dict(), f'rank{get_rank()}.pth')
"""


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_two_processes_without_a_gpu_train_one_model(configs, tmp_path):
    pytest.importorskip('mmdet')
    (tmp_path / 'save_each_rank.py').write_text(RANKS)
    text = """
custom_imports = dict(
    imports=['mmmambamixer', 'mmmambamixer.patches', 'save_each_rank']
)
custom_hooks = [dict(type='SaveEachRank')]
env_cfg = dict(dist_cfg=dict(backend='nccl'))
"""
    config = write_config(tmp_path / 'ranks.py', configs['mmdet'], text)
    path = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
    result = subprocess.run(
        ['bash', str(ROOT / 'tools/dist_train.sh'), str(config), '2'],
        cwd=tmp_path,
        env=dict(
            os.environ,
            PATH=path,
            PYTHONPATH=str(tmp_path),
            OMP_NUM_THREADS='1',
            PORT=str(20000 + os.getpid() % 20000),
        ),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stdout[-1000:] + result.stderr[-4000:]
    assert 'coco/segm_mAP' in result.stdout + result.stderr
    images, others = (
        {Path(line).name for line in (tmp_path / f'images{i}.txt').read_text().split()}
        for i in range(2)
    )
    assert len(images) == 2 and images | others == {f'{i}.png' for i in range(4)}
    state, other = (
        torch.load(tmp_path / f'rank{i}.pth', weights_only=True) for i in range(2)
    )
    assert all(torch.equal(state[key], other[key]) for key in state)
    checkpoint = torch.load(tmp_path / 'work_dirs/ranks/epoch_1.pth', weights_only=True)
    assert checkpoint['meta']['iter'] == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_synchronised_norms_without_a_gpu_are_refused():
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.SyncBatchNorm(4))
    check_norms(Config(dict(launcher='none')), model)
    with pytest.raises(ValueError, match=r'^1 is SyncBN, which needs GPUs'):
        check_norms(Config(dict(launcher='pytorch')), model)
