"""Runs that resume with other settings: the right samples, or a true sentence."""

import logging
import random
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from torch.utils.data import Dataset

import mmmambamixer.patches  # noqa: F401  (safe loaders)
from mmmambamixer.engine import InterruptionHook, SafeRunner
from mmmambamixer.engine.hooks import facts

RUNS = count()
SAMPLES = 24


class Names(Dataset):
    """Samples that are their numbers; `names` is their list in files."""

    def __init__(self, names=range(SAMPLES), classes=('a', 'b')) -> None:
        self.names, self.metainfo = list(names), dict(classes=classes)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> dict:
        return dict(x=torch.ones(1), index=index)

    def get_data_info(self, index: int) -> dict:
        return dict(img_path=f'/data/train/{self.names[index]}.png', gt_label=0)


class Weight(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x, index, mode='tensor'):
        return dict(loss=(x * self.weight).sum())


class Note(Hook):
    """Note the samples, and end the run after some iterations."""

    priority = 94  # after the hook that saves

    def __init__(self, at: int | None) -> None:
        self.at, self.seen = at, []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.seen += data_batch['index'].tolist()
        if runner.iter + 1 == self.at:
            raise KeyboardInterrupt


def train(
    folder: Path,
    batch: int,
    *,
    at: int | None = None,
    by_epoch: bool = True,
    length: int = 3,
    data: Dataset | None = None,
    sampler: str | None = None,
    lr: float = 0.1,
    optimizer: dict | None = None,
    schedule: dict | None = None,
    seed: int | None = None,
    each_epoch: bool = False,
    averaged: bool = False,
    **loader,
) -> list[int]:
    """Train, or go on; return the samples. A checkpoint is saved in iteration `at`."""
    kind = sampler or ('DefaultSampler' if by_epoch else 'InfiniteSampler')
    limit = dict(max_epochs=length) if by_epoch else dict(max_iters=length)
    note = Note(at)
    averaging = [dict(type='EMAHook')] if averaged else []
    interval = 1 if each_epoch else at or 1000
    saver = dict(type='CheckpointHook', by_epoch=each_epoch, interval=interval)
    runner = SafeRunner(
        model=Weight(),
        work_dir=str(folder),
        train_dataloader=dict(
            dataset=data or Names(),
            batch_size=batch,
            sampler=dict(type=kind, shuffle=True),
            collate_fn=dict(type='default_collate'),
            **loader,
        ),
        train_cfg=dict(by_epoch=by_epoch, **limit),
        optim_wrapper=dict(optimizer=optimizer or dict(type='SGD', lr=lr)),
        param_scheduler=schedule,
        default_hooks=dict(checkpoint=saver, logger=None),
        custom_hooks=[note, InterruptionHook(signals=()), *averaging],
        resume=True,
        randomness=dict(seed=seed),
        experiment_name=f'resume-{next(RUNS)}',
        log_level='WARNING',
    )
    try:
        runner.train()
    except KeyboardInterrupt:
        assert at is not None
    return note.seen


@pytest.fixture
def told(monkeypatch) -> list[str]:
    """What is logged as a warning."""
    lines = []
    warn = logging.Logger.warning
    monkeypatch.setattr(
        logging.Logger,
        'warning',
        lambda self, text, *a, **k: (
            lines.append(str(text)),
            warn(self, text, *a, **k),
        ),
    )
    return lines


def cases(number: int) -> list[tuple[int, int, float]]:
    draw = random.Random(5).choice
    return [
        (draw([1, 2, 3, 5, 7]), draw([1, 2, 4, 5, 9]), draw([0.1, 0.3, 0.5, 0.9]))
        for _ in range(number)
    ]


@pytest.mark.parametrize(('before', 'after', 'part'), cases(7))
@pytest.mark.parametrize('sampler', ['DefaultSampler', 'InfiniteSampler'])
def test_another_batch_size_goes_on_at_the_right_sample(
    sampler, before, after, part, tmp_path, told
):
    """Whatever it is cut into, each pass sees each sample once, in one order."""
    by_epoch = sampler == 'DefaultSampler'
    settings = dict(by_epoch=by_epoch, length=2 if by_epoch else 30)
    per_pass = -(-SAMPLES // before)
    at = max(1, round(part * 2 * per_pass))
    first = train(tmp_path, before, at=at, **settings)
    assert len(first) <= at * before
    # and once more, from a run that had gone on
    second = train(tmp_path, after, at=at + 2, **settings)
    rest = train(tmp_path, 3, **settings)
    found = first + second + rest
    passes = [found[i : i + SAMPLES] for i in range(0, len(found), SAMPLES)]
    whole = [one for one in passes if len(one) == SAMPLES]
    assert whole and all(sorted(one) == [*range(SAMPLES)] for one in whole)
    if by_epoch:
        assert len(found) == 2 * SAMPLES
    changed = before != after
    assert any('the batch size has changed' in line for line in told) == (
        changed or after != 3
    )


def test_iterations_over_a_shuffled_list(tmp_path):
    """An iteration-based loop over passes of a sampler that ends."""
    settings = dict(by_epoch=False, length=20, sampler='DefaultSampler')
    first = train(tmp_path, 5, at=7, **settings)
    found = first + train(tmp_path, 4, **settings)
    for i in range(0, len(found) - SAMPLES, SAMPLES):
        assert sorted(found[i : i + SAMPLES]) == [*range(SAMPLES)]


def test_the_order_is_that_of_the_checkpoint_where_the_config_has_no_seed(tmp_path):
    """MMEngine draws a seed for each start, and gives it to the sampler."""
    for at in (1, 3, 5):
        folder = tmp_path / str(at)
        found = train(folder, 4, at=at, length=1) + train(folder, 4, length=1)
        assert sorted(found) == [*range(SAMPLES)]


OTHER_DATA = dict(
    more=Names(range(30)),
    fewer=Names(range(20)),
    order=Names(range(SAMPLES)[::-1]),
    file=Names([*range(23), 99]),
    classes=Names(classes=('b', 'a')),
)


@pytest.mark.parametrize('name', OTHER_DATA)
@pytest.mark.parametrize('at', [2, 6, 7])
def test_other_data_within_a_pass_are_refused(name, at, tmp_path):
    """Saved by iterations: after the last one of a pass it has not ended yet."""
    train(tmp_path, 4, at=at)
    with pytest.raises(ValueError, match=r'saved after \d+ of 24 samples of pass'):
        train(tmp_path, 4, data=OTHER_DATA[name])


@pytest.mark.parametrize('name', OTHER_DATA)
def test_other_data_after_a_whole_pass_are_taken(name, tmp_path, told):
    train(tmp_path, 4, length=1, each_epoch=True)
    data = OTHER_DATA[name]
    assert sorted(train(tmp_path, 4, length=2, data=data)) == [*range(len(data))]
    assert any('has changed' in line and 'goes on with pass 2' in line for line in told)


@pytest.mark.parametrize('name', OTHER_DATA)
def test_other_data_in_an_endless_order_is_told(name, tmp_path, told):
    settings = dict(by_epoch=False, length=9)
    train(tmp_path, 4, at=5, **settings)
    assert len(train(tmp_path, 4, data=OTHER_DATA[name], **settings)) == 16
    assert any('in another order' in line for line in told)


def test_the_folder_of_the_data_may_be_another():
    class Moved(Names):
        def get_data_info(self, index: int) -> dict:
            info = super().get_data_info(index)
            return dict(info, img_path=info['img_path'].replace('/data', '/mnt/x'))

    assert facts.digest_of(Moved()) == facts.digest_of(Names())


class Infos(Names):
    """Samples that are told as they are given."""

    def get_data_info(self, index: int) -> dict:
        return self.names[index]


@pytest.mark.parametrize('count', [3, 5000])
@pytest.mark.parametrize(
    'changed',
    [
        dict(img_path='/data/train/x.png'),
        dict(seg_map_path='/data/train/x.png'),
        dict(gt_label=1),
        dict(gt_label=[0, 1]),
        dict(instances=[dict(bbox=[0, 0, 1, 2], bbox_label=0)]),
        dict(instances=[dict(bbox=[0, 0, 1, 1], bbox_label=1)]),
        dict(instances=[]),
    ],
)
def test_one_sample_of_many_is_seen(count, changed):
    box = [dict(bbox=[0, 0, 1, 1], bbox_label=0)]
    infos = [
        dict(img_path=f'/data/train/{i}.png', gt_label=0, instances=box)
        for i in range(count)
    ]
    before = facts.digest_of(Infos(infos))
    for place in (0, count // 2 + 1, count - 1):
        others = [*infos]
        others[place] = {**infos[place], **changed}
        assert facts.digest_of(Infos(others)) != before
    assert facts.digest_of(Infos(map(dict, infos))) == before


def test_files_of_another_size_are_seen(tmp_path):
    for name in ('a.png', 'b.png'):
        (tmp_path / name).write_bytes(b'1')
    infos = Infos([dict(img_path=str(tmp_path / name)) for name in ('a.png', 'b.png')])
    before = facts.digest_of(infos)
    (tmp_path / 'b.png').write_bytes(b'12')
    assert facts.digest_of(infos) != before


@pytest.mark.parametrize('cell', [(0, 0), (30, 1), (49, 1)])
def test_one_number_of_a_table_is_seen(cell):
    from mmmambamixer.datasets import SeriesDataset, SeriesTable

    dates = np.arange(60).astype('datetime64[h]').astype('datetime64[ns]')
    values = np.random.default_rng(0).normal(size=(60, 2))

    def digest() -> str:
        table = SeriesTable(values.copy(), dates, ('a', 'b'))
        sizes = dict(look_back=5, horizon=2, borders=(50, 55, 60), split='train')
        return facts.digest_of(SeriesDataset(table=table, **sizes))

    before = digest()
    assert digest() == before
    values[cell] += 0.1
    assert digest() != before


OPTIMIZERS = [
    (dict(type='SGD', lr=0.1), dict(type='AdamW', lr=0.1)),
    (dict(type='AdamW', lr=0.1), dict(type='SGD', lr=0.1)),
    (dict(type='AdamW', lr=0.1), dict(type='Adam', lr=0.1)),
    (dict(type='RMSprop', lr=0.1), dict(type='AdamW', lr=0.1)),
]


@pytest.mark.parametrize(('before', 'after'), OPTIMIZERS)
@pytest.mark.parametrize('has_facts', [True, False])
def test_another_optimiser_is_refused(before, after, has_facts, tmp_path):
    train(tmp_path, 4, at=2, optimizer=before)
    kinds = {before['type'], after['type']}
    if not has_facts:
        (path,) = tmp_path.glob('iter_*.pth')
        content = torch.load(path, weights_only=True)
        del content['meta']['training']
        torch.save(content, path)
        if kinds == {'Adam', 'AdamW'}:  # their states look alike
            return
    with pytest.raises(
        ValueError, match=f'was trained with .* has {after["type"]}, wh'
    ):
        train(tmp_path, 4, optimizer=after)


COSINE = dict(type='CosineAnnealingLR', by_epoch=False, T_max=18)
IGNORED = [
    (dict(lr=0.1), dict(lr=0.5), 'lr (0.5, checkpoint 0.1)'),
    (dict(lr=0.1), dict(lr=0.01), 'lr (0.01, checkpoint 0.1)'),
    (
        dict(lr=0.1, schedule=COSINE),
        dict(lr=0.2, schedule=COSINE),
        'lr (0.2, checkpoint 0.1)',
    ),
    (
        dict(schedule=COSINE),
        dict(schedule=COSINE | dict(T_max=36)),
        'param_scheduler.0.T_max (36, checkpoint 18)',
    ),
    (
        dict(optimizer=dict(type='SGD', lr=0.1, weight_decay=0.1)),
        dict(optimizer=dict(type='SGD', lr=0.1, weight_decay=0.2)),
        'weight_decay (0.2, checkpoint 0.1)',
    ),
    (
        dict(optimizer=dict(type='AdamW', lr=0.1, betas=(0.9, 0.99))),
        dict(optimizer=dict(type='AdamW', lr=0.1, betas=(0.9, 0.9))),
        'betas ((0.9, 0.9), checkpoint (0.9, 0.99))',
    ),
    (dict(schedule=COSINE), dict(), 'param_scheduler (0 parts, checkpoint 1)'),
]


@pytest.mark.parametrize(('before', 'after', 'text'), IGNORED)
def test_settings_that_are_ignored_are_told(before, after, text, tmp_path, told):
    train(tmp_path, 4, at=2, **before)
    train(tmp_path, 4, **before)
    assert not any('are ignored' in line for line in told)
    (tmp_path / 'iter_18.pth').unlink(missing_ok=True)
    train(tmp_path, 4, **after)
    (line,) = [line for line in told if 'are ignored' in line]
    assert text in line and 'set load_from to this file' in line


def test_leaving_out_the_averaging_is_refused(tmp_path):
    train(tmp_path, 4, at=2, averaged=True)
    message = 'was trained with EMAHook, the config has none.*: set EMAHook back'
    with pytest.raises(ValueError, match=message):
        train(tmp_path, 4)
    assert train(tmp_path, 4, averaged=True)


def test_another_seed_is_told(tmp_path, told):
    first = train(tmp_path, 4, at=2, seed=3, length=1)
    found = first + train(tmp_path, 4, seed=4, length=1)
    assert sorted(found) == [*range(SAMPLES)]
    assert any('goes on with that of the checkpoint, 3' in line for line in told)


def test_a_checkpoint_of_others_resumes_as_before(tmp_path):
    first = train(tmp_path, 4, at=2, length=1)
    (path,) = tmp_path.glob('iter_*.pth')
    content = torch.load(path, weights_only=True)
    del content['meta']['training']
    torch.save(content, path)
    assert sorted(first + train(tmp_path, 4, length=1)) == [*range(SAMPLES)]


@pytest.mark.parametrize('by_epoch', [True, False])
def test_a_run_with_nothing_left_says_so(by_epoch, tmp_path, told):
    length, saved = (1, dict(each_epoch=True)) if by_epoch else (4, dict(at=4))
    data = Names(range(8))
    train(tmp_path, 2, by_epoch=by_epoch, length=length, data=data, **saved)
    assert not any('nothing is left' in line for line in told)
    train(tmp_path, 2, by_epoch=by_epoch, length=length, data=data)
    assert any('nothing is left to train' in line for line in told)
