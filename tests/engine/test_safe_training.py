"""Whole checkpoints, exact positions, finite numbers: the parts, one by one.

`tests/torture` shows what they make of a run.
"""

import io
import shutil
from pathlib import Path

import mmengine.runner.runner as mmengine_runner
import numpy as np
import pytest
import torch
import toy
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.runner import Runner
from torch.utils.data import BatchSampler, DataLoader

import mmmambamixer.patches  # noqa: F401  (safe loaders)
from mmmambamixer.checkpoints import seal
from mmmambamixer.checkpoints.newest import newest_complete
from mmmambamixer.checkpoints.storage import (
    SEALED,
    SealedBackend,
    is_complete,
    replacing,
    write_file,
    write_sealed,
)
from mmmambamixer.checkpoints.stream import streamed
from mmmambamixer.engine import (
    FiniteHook,
    InterruptionHook,
    ReplayHook,
    SafeCheckpointHook,
)
from mmmambamixer.engine.hooks import finite
from mmmambamixer.engine.hooks.replay import (
    CountedBatches,
    Endless,
    SeededDataset,
    replayed,
)
from mmmambamixer.messages import TrainingStopped


def saved(**content) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    path = tmp_path / 'epoch_1.pth'
    content = dict(weights=torch.arange(300.0))
    write_sealed(path, lambda file: torch.save(content, file))
    return path


def test_a_sealed_file_is_an_ordinary_checkpoint(checkpoint):
    assert is_complete(checkpoint) is True
    for mmap in (False, True):
        loaded = torch.load(checkpoint, weights_only=True, mmap=mmap)
        assert torch.equal(loaded['weights'], torch.arange(300.0))


def test_any_changed_byte_is_seen(checkpoint):
    data = checkpoint.read_bytes()
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 1 << (place % 8)
        checkpoint.write_bytes(damaged)
        assert is_complete(checkpoint) is False, place


def test_any_cut_is_seen(checkpoint):
    data = checkpoint.read_bytes()
    for length in range(0, len(data), 7):
        checkpoint.write_bytes(data[:length])
        assert is_complete(checkpoint) is False, length


def test_a_stock_checkpoint_has_no_digest(tmp_path, checkpoint):
    path = tmp_path / 'stock.pth'
    path.write_bytes(saved(weights=torch.ones(3)))
    assert is_complete(path) is None
    torch.save({}, path, _use_new_zipfile_serialization=False)
    assert is_complete(path) is None
    before = path.read_bytes()
    for content in (b'no archive', b'', checkpoint.read_bytes()):
        with pytest.raises(ValueError, match=r'files of torch\.save only'):
            write_sealed(path, lambda file, content=content: file.write(content))
    assert path.read_bytes() == before


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / 'file'
    write_file(path, b'old')

    def full(descriptor):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('os.fsync', full)
    with pytest.raises(OSError, match='No space left'):
        write_file(path, b'new')
    assert path.read_bytes() == b'old'
    assert [p.name for p in tmp_path.iterdir()] == ['file']


@pytest.mark.parametrize('block', [1, 21, 22, 23, 4096, seal.BLOCK])
def test_blocks_do_not_change_what_torch_writes(block, tmp_path, monkeypatch):
    monkeypatch.setattr(seal, 'BLOCK', block)
    content = dict(
        x=torch.arange(3000.0), part=torch.arange(9)[2:5], none=torch.ones(0)
    )
    plain, path = saved(**content), tmp_path / 'epoch_1.pth'
    write_sealed(path, lambda file: torch.save(content, file))
    assert path.read_bytes()[: len(plain) - 2] == plain[:-2]
    assert path.stat().st_size == len(plain) + seal.COMMENT
    assert is_complete(path)


class Full:
    """A disk with room for some bytes."""

    def __init__(self, file, room: int) -> None:
        self.file, self.room = file, room

    def write(self, data) -> None:
        self.room -= len(data)
        if self.room < 0:
            raise OSError(28, 'No space left on device')
        self.file.write(data)

    def fileno(self) -> int:
        return self.file.fileno()


@pytest.mark.parametrize('part', [0, 0.5, 1])
def test_a_disk_that_fills_up_while_torch_writes(part, tmp_path, monkeypatch):
    """It is the error of the disk that comes out, and the file is the old one."""
    monkeypatch.setattr(seal, 'BLOCK', 256)
    content, path = dict(weights=torch.arange(3000.0)), tmp_path / 'epoch_1.pth'
    path.write_bytes(b'old')
    room = int(part * len(saved(**content)))
    with (
        pytest.raises(OSError, match='No space left'),
        replacing(path) as file,
        seal.Sealing(Full(file, room)) as sealed,
    ):
        torch.save(content, sealed)
    assert path.read_bytes() == b'old'
    assert [p.name for p in tmp_path.iterdir()] == ['epoch_1.pth']


class Unpicklable:
    def __reduce__(self):
        raise ValueError('has no plain form')


def test_an_error_of_torch_leaves_the_old_file(tmp_path):
    path = tmp_path / 'epoch_1.pth'
    path.write_bytes(b'old')
    content = [torch.ones(3), Unpicklable()]
    with pytest.raises(ValueError, match='has no plain form'):
        write_sealed(path, lambda file: torch.save(content, file))
    assert path.read_bytes() == b'old'
    assert [p.name for p in tmp_path.iterdir()] == ['epoch_1.pth']


def test_checkpoints_of_a_run_are_not_made_in_memory_first(tmp_path, monkeypatch):
    """The way of MMEngine leads through `put`, with all bytes of a checkpoint."""
    stock = mmengine_runner.save_checkpoint

    def put(*args):
        raise AssertionError('all bytes at once')

    monkeypatch.setattr(SealedBackend, 'put', put)
    toy.run(tmp_path / 'ours', epochs=2)
    paths = [*(tmp_path / 'ours').glob('*epoch_2.pth')]
    assert sorted(path.name[:5] for path in paths) == ['best_', 'epoch']
    assert all(is_complete(path) for path in paths)
    assert mmengine_runner.save_checkpoint is stock


def test_other_storage_is_served_as_ever(tmp_path):
    with streamed():
        for name, backend in (('plain', 'local'), ('sealed', SEALED)):
            mmengine_runner.save_checkpoint(
                dict(x=torch.ones(3)),
                str(tmp_path / name),
                backend_args=dict(backend=backend),
            )
    assert is_complete(tmp_path / 'plain') is None
    assert is_complete(tmp_path / 'sealed')


def test_the_newest_complete_checkpoint_is_chosen(checkpoint):
    folder, told = checkpoint.parent, []
    damaged = checkpoint.read_bytes()[:-1]
    (folder / 'epoch_2.pth').write_bytes(damaged)
    (folder / 'best_acc_epoch_3.pth').write_bytes(b'has no optimiser')
    assert newest_complete(folder, ['epoch_*.pth'], told.append) == str(checkpoint)
    (line,) = told
    assert line.startswith('passed over: ')
    assert 'epoch_2.pth is not a readable checkpoint, it is damaged' in line
    checkpoint.write_bytes(b'')
    with pytest.raises(TrainingStopped, match='none of the 2 checkpoints'):
        newest_complete(folder, ['epoch_*.pth'], told.append)
    assert newest_complete(folder, ['iter_*.pth'], told.append) is None


def test_a_flipped_bit_in_a_stock_checkpoint_is_seen(tmp_path):
    """Such a file has no digest; its archive lists checksums."""
    data = bytearray(saved(weights=torch.arange(300.0)))
    (tmp_path / 'epoch_1.pth').write_bytes(data)
    assert newest_complete(tmp_path, ['epoch_*.pth'], print)
    place = data.index(torch.arange(300.0).numpy().tobytes())
    data[place + 77] ^= 1
    (tmp_path / 'epoch_1.pth').write_bytes(data)
    with pytest.raises(TrainingStopped, match='none of the 1 checkpoints'):
        newest_complete(tmp_path, ['epoch_*.pth'], print)


def test_stock_checkpoints_resume_where_unpickling_is_allowed(tmp_path, monkeypatch):
    toy.run(tmp_path, epochs=1, runner_type=Runner)
    assert is_complete(tmp_path / 'epoch_1.pth') is None
    with pytest.raises(TrainingStopped, match='none of the 1 checkpoints'):
        toy.run(tmp_path, epochs=2)
    monkeypatch.setenv('MMMAMBAMIXER_UNPICKLE', '1')
    runner = toy.run(tmp_path, epochs=2)
    assert (runner.epoch, runner.iter) == (2, 12)
    lines = (tmp_path / 'notes-0').read_text().splitlines()
    trained = [line for line in lines if 'validation' not in line]
    assert [int(line.split()[0]) for line in trained] == [*range(12)]


def test_a_resumed_run_removes_best_checkpoints_that_a_killed_one_left(
    tmp_path, monkeypatch
):
    settings = dict(epochs=2, by_epoch=False, interval=5)
    with monkeypatch.context() as killed_in_time:
        killed_in_time.setattr(SafeCheckpointHook, '_remove_replaced', lambda *_: None)
        toy.run(tmp_path / 'first', **settings)
    shutil.copytree(tmp_path / 'first', tmp_path / 'moved')
    count = len([*(tmp_path / 'first').glob('best_*')])
    assert count > 1
    toy.run(tmp_path / 'moved', **settings)  # the files of the first are not its own
    assert len([*tmp_path.glob('*/best_*')]) == 2 * count
    toy.run(tmp_path / 'first', **settings)
    (best,) = (tmp_path / 'first').glob('best_*')
    content = torch.load(tmp_path / 'first/iter_12.pth', weights_only=True)
    assert content['message_hub']['runtime_info']['best_ckpt'] == str(best)


def indices(batches) -> list:
    return [[index for _, index in batch] for batch in batches]


@pytest.mark.parametrize('done', [0, 1, 4, 5, 6, 13])
@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize('sampler', [DefaultSampler, InfiniteSampler])
def test_batches_go_on_where_they_were(sampler, workers, done):
    def endless(done):
        order = sampler(range(10), shuffle=True, seed=1)
        loader = DataLoader(
            toy.Noisy(),
            batch_sampler=BatchSampler(order, 2, drop_last=False),
            num_workers=workers,
        )
        return Endless(replayed(loader, seed=1, rank=0), done)

    whole, resumed = endless(0), endless(done)
    expected = [next(whole) for _ in range(16)][done:]
    assert [next(resumed) for _ in range(done)] == [None] * done
    for batch in expected:
        found = next(resumed)
        assert torch.equal(found['index'], batch['index'])
        assert torch.equal(found['x'], batch['x'])


def test_places_are_all_different():
    batches = CountedBatches(BatchSampler(DefaultSampler(range(10)), 4, False))
    batches.start_epoch(2)
    places = [place for batch in batches for place, _ in batch]
    assert places[:5] == [(2, 0, 0), (2, 0, 1), (2, 0, 2), (2, 0, 3), (2, 1, 0)]
    assert len(set(places)) == 10
    assert batches.skip(1) == 1
    assert [place for batch in batches for place, _ in batch] == places[4:]


def test_augmentation_depends_on_the_place_only():
    data = SeededDataset(toy.Noisy(), seed=1, rank=0)
    first = data[(0, 3, 1), 5]['x']
    torch.rand(3), np.random.rand(3)
    assert torch.equal(data[(0, 3, 1), 5]['x'], first)
    others = [((1, 3, 1), 5), ((0, 2, 1), 5), ((0, 3, 0), 5)]
    assert not any(torch.equal(data[item]['x'], first) for item in others)
    assert not torch.equal(SeededDataset(toy.Noisy(), 1, 1)[(0, 3, 1), 5]['x'], first)


def test_a_seeded_dataset_hands_attributes_on():
    inner = toy.Noisy()
    data = SeededDataset(inner, seed=1, rank=0)
    data.pipeline = 'changed'
    assert inner.pipeline == 'changed' and data.pipeline == 'changed'
    with pytest.raises(AttributeError):
        _ = data.nothing


def test_an_epoch_of_another_length_is_refused(tmp_path):
    toy.run(tmp_path, epochs=1, interval=4, by_epoch=True)
    (path,) = tmp_path.glob('epoch_1.pth')
    content = torch.load(path, weights_only=True)
    content['meta'].update(epoch=0, iter=7)
    del content['meta']['training']  # as the first versions saved it
    torch.save(content, path)
    with pytest.raises(ValueError, match='after 0 epochs and 7 iterations, which'):
        toy.run(tmp_path, epochs=2)


@pytest.mark.parametrize('kind', ['loss', 'gradient'])
def test_steps_that_are_not_finite_may_be_left_out(kind, tmp_path, caplog):
    settings = dict(epochs=1, act=toy.Poison(kind, at=2, rank=0))
    runner = toy.run(tmp_path / 'skips', hooks=(FiniteHook(skip=1),), **settings)
    assert runner.iter == 6
    assert all(value.isfinite().all() for value in runner.model.state_dict().values())
    with pytest.raises(TrainingStopped, match='iteration 3 is not finite: the loss'):
        toy.run(tmp_path / 'stops', **settings)


def test_what_one_process_finds_holds_for_all(monkeypatch):
    """The other one has a gradient that is not finite."""
    merge = {finite.dist.ReduceOp.MIN: torch.minimum}

    def all_reduce(flags, op):
        flags.copy_(merge[op](flags, torch.tensor([1, 0], dtype=flags.dtype)))

    monkeypatch.setattr(finite, 'is_distributed', lambda: True)
    monkeypatch.setattr(finite.dist, 'all_reduce', all_reduce)
    assert finite.all_finite([torch.ones(())], [torch.ones(())]) == [True, False]


def test_only_steps_in_a_row_count_as_left_out(tmp_path):
    poisons = [toy.Poison('gradient', at=at, rank=0) for at in (1, 3)]

    def act(runner):
        for poison in poisons:
            poison(runner)

    runner = toy.run(tmp_path, epochs=1, act=act, hooks=(FiniteHook(skip=1),))
    assert runner.iter == 6


def test_the_stock_runner_takes_the_hooks_from_its_config(tmp_path):
    """Nothing but names in the config: any MMEngine project can have this."""
    names = ('ReplayHook', 'FiniteHook', 'InterruptionHook')
    hooks = tuple(dict(type=f'mmmambamixer.{name}') for name in names)
    kind = 'mmmambamixer.SafeCheckpointHook'
    runner = toy.run(
        tmp_path, epochs=1, runner_type=Runner, hooks=hooks, checkpoint=kind
    )
    kinds = [type(hook) for hook in runner.hooks]
    for kind in (SafeCheckpointHook, ReplayHook, FiniteHook, InterruptionHook):
        assert kinds.count(kind) == 1
    (path,) = tmp_path.glob('epoch_*.pth')
    assert is_complete(path)
    assert torch.load(path, weights_only=True)['meta']['iter'] == 6


def test_a_best_number_that_no_metric_gives_ends_in_a_sentence(tmp_path):
    hook = SafeCheckpointHook(save_best='acc', rule='greater')
    hook.last_ckpt = 'epoch_1.pth'
    with pytest.raises(TrainingStopped, match=r'gives top1; last.*: epoch_1\.pth'):
        hook._save_best_checkpoint(None, dict(top1=0.5))
