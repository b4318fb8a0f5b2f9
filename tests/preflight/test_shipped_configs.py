"""Every config that is shipped passes the checks before a training, on toy data.

Networks are built without memory (on the meta device), data sets, pipelines and metrics
are the config's own. What the checks say of the toy data, as classes without an object,
is compared too.
"""

import csv
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS, DefaultScope
from shipped_configs import load, shipped
from toy_layouts import (
    label_map,
    picture,
    write_ade,
    write_coco,
    write_folders,
    write_imagenet,
    write_instances,
)
from toy_run import ToyRun

from mmmambamixer.engine.data import open_data
from mmmambamixer.engine.expressions import resolve
from mmmambamixer.preflight.config import check_config
from mmmambamixer.preflight.data.files import check_data
from mmmambamixer.preflight.model import check_channels

pytest.importorskip('mmdet')
pytest.importorskip('mmseg')
pytest.importorskip('mmpretrain')

DIGITS = [str(i) for i in range(10)]
LAYOUTS = {
    'coco': write_coco,
    'coco_free53': write_coco,
    'ade/ADEChallengeData2016': write_ade,
    'imagenet': write_imagenet,
    'eurosat_3k': lambda root: write_folders(root, DIGITS, ('train', 'test')),
    'digits': lambda root: write_folders(root, DIGITS, ('train', 'test')),
    'dsb2018_nuclei': lambda root: write_instances(root, ['nucleus'], ['train', 'val']),
    'digit_scenes': lambda root: write_instances(root, DIGITS, ['train', 'test']),
    'crowded_scenes': lambda root: write_scenes(root),
    'spectrograms': lambda root: write_spectrograms(root),
}
PARTS = ('train', 'val', 'test')
RARE = ('_dataloader has no object of ', '_dataloader has no pixel of ')
NUMBERED = 'labels are taken to be in the same order'
"""Class folders that are numbers cannot be compared with names, which is said."""


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Do without what takes most of the time and decides nothing here.

    Each data set of MMEngine collects all garbage of the process when it is made, and
    tensors without memory need no values.
    """
    idle = SimpleNamespace(collect=lambda: 0)
    monkeypatch.setattr('mmengine.dataset.base_dataset.gc', idle)
    monkeypatch.setattr('torch.nn.init.trunc_normal_', lambda tensor, **_: tensor)


def write_scenes(root: Path) -> None:
    for part in ('train', 'test'):
        for i in range(3):
            picture(root / part / f'{i}.png')
            label_map(root / f'labels/{part}/{i}.png', range(11))


def write_spectrograms(root: Path) -> None:
    for digit in DIGITS:
        picture(root / f'images/{digit}/a.png', size=(32, 64))
    (root / 'own').mkdir()
    lines = ''.join(f'../images/{digit}/a.png {digit}\n' for digit in DIGITS)
    for part in ('train', 'test'):
        (root / f'own/{part}.txt').write_text(lines)


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    """A folder with `data`, in which the data of all vision configs are."""
    folder = tmp_path_factory.mktemp('shipped')
    for name, write in LAYOUTS.items():
        write(folder / 'data' / name)
    return folder


def check(config, said: list[str]) -> list[str]:
    """Do all checks before a training and a test; return what is told."""
    resolve(config)
    check_config(config, 'train')
    check_config(config, 'test')
    check_data(config, *PARTS)
    said.clear()
    scope = config.default_scope
    with DefaultScope.overwrite_default_scope(scope):
        datasets = {part: config[f'{part}_dataloader'].dataset for part in PARTS}
        run = ToyRun(scope, {}, **datasets)
        ours = 'backbone' not in config.model or 'ViM2' in config.model.backbone.type
        with torch.device('meta' if ours else 'cpu'):  # ResNet reads values
            run.model = MODELS.build(config.model)
        check_channels(run.model)
        run.cfg = config
        open_data(run, *PARTS)
    return [line for line in said if not any(text in line for text in RARE)]


@pytest.mark.parametrize('name', shipped('mmpretrain', 'mmdet', 'mmseg'))
def test_a_vision_config_passes(name, data, monkeypatch, said):
    monkeypatch.chdir(data)
    config = load(name)
    model = config.model
    if 'data_preprocessor' in config:
        model.setdefault('data_preprocessor', config.data_preprocessor)
    assert [line for line in check(config, said) if NUMBERED not in line] == []


def write_tables(config, folder: Path, rows: int = 1600) -> None:
    """Write tables of noise with the columns of a forecasting config, and name them."""
    names = [f'v{i}' for i in range(config.model.variates)]
    dates = np.datetime64('2020-01-01') + np.arange(rows).astype('timedelta64[h]')
    noise = np.random.default_rng(0).standard_normal((rows, len(names))).round(2)
    write_csv(folder / 'noise.csv', ['date', *names], zip(dates, *noise.T, strict=True))
    for part in PARTS:
        windows = config[f'{part}_dataloader'].dataset
        windows.path, windows.borders = str(folder / 'noise.csv'), (0.6, 0.2)
        for known in windows.get('future') or ():  # in a long table
            known.path = str(folder / 'known.csv')
            columns = ['unique_id', 'ds', *known.columns]
            numbers = [0.5] * len(known.columns)
            lines = ((name, date, *numbers) for name in names for date in dates)
            write_csv(folder / 'known.csv', columns, lines)


def write_csv(path: Path, columns: list, lines) -> None:
    with open(path, 'w', newline='') as file:
        csv.writer(file).writerows([columns, *lines])


@pytest.mark.parametrize('name', shipped('mmmambamixer'))
def test_a_forecasting_config_passes(name, tmp_path, said):
    config = load(name)
    resolve(config)
    write_tables(config, tmp_path)
    assert check(config, said) == []
