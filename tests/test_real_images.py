"""Photographs of many sizes through training and testing, where they are at hand.

The images are found through the variable MMMAMBAMIXER_DATA.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip('mmpretrain')

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get('MMMAMBAMIXER_DATA', ROOT / 'data'))
IMAGES = DATA / 'ci_mini' / 'imagenet_like'
CONFIG = """
_base_ = {eurosat!r}
model = dict(
    backbone=dict(arch=dict(embed_dims=(16, 32), depths=(1, 2)), out_indices=(1,)),
    head=dict(num_classes=8, in_channels=32),
    data_preprocessor=dict(num_classes=8),
)
train_dataloader = dict(batch_size=16, dataset=dict(data_root={data!r}))
val_dataloader = dict(batch_size=1, dataset=dict(data_root={data!r}, data_prefix='val'))
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(lr=5e-3))
param_scheduler = []
epochs = 12
train_cfg = dict(max_epochs=epochs, val_interval=epochs)
default_hooks = dict(logger=dict(interval=4), checkpoint=dict(interval=epochs))
"""


@pytest.mark.skipif(not IMAGES.is_dir(), reason=f'no images at {IMAGES}')
def test_a_small_network_learns_from_photographs(tmp_path):
    config = tmp_path / 'photographs.py'
    eurosat = ROOT / 'configs/eurosat/vim2_eurosat.py'
    config.write_text(CONFIG.format(eurosat=str(eurosat), data=str(IMAGES)))
    command = [sys.executable, str(ROOT / 'tools/train.py'), str(config)]
    result = subprocess.run(
        [*command, '--work-dir', str(tmp_path / 'run')],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    (log,) = (tmp_path / 'run').glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in log.open()]
    losses = [line['loss'] for line in lines if 'loss' in line]
    assert sum(losses[-4:]) / 4 < sum(losses[:4]) / 4 - 0.1
    assert 0 <= lines[-1]['accuracy/top1'] <= 100  # 32 images, each of its own size
