"""Epochs of some windows."""

import pytest

from mmmambamixer.datasets import RandomWindowSampler
from mmmambamixer.registry import DATA_SAMPLERS

WINDOWS = range(100)


def drawn(epoch=0, rank=0, world_size=1, **options) -> list[int]:
    sampler = RandomWindowSampler(**dict(dataset=WINDOWS, seed=0) | options)
    sampler.rank, sampler.world_size = rank, world_size
    sampler.set_epoch(epoch)
    found = list(sampler)
    assert len(found) == len(sampler)
    return found


def test_an_epoch_is_drawn_without_replacement():
    assert sorted(drawn()) == list(WINDOWS)
    some = drawn(max_windows=30)
    assert len(set(some)) == 30
    assert some != sorted(some)
    assert len(drawn(max_windows=1000)) == 100


def test_seed_and_epoch_decide():
    assert drawn(max_windows=30) == drawn(max_windows=30)
    epochs = [tuple(drawn(epoch, seed=seed)) for seed in (0, 1) for epoch in (0, 1, 2)]
    assert len(set(epochs)) == 6, 'seed 1 is not seed 0 an epoch later'
    seen = {i for epoch in range(30) for i in drawn(epoch, max_windows=30)}
    assert seen == set(WINDOWS)


def test_processes_share_an_epoch():
    parts = [drawn(rank=rank, world_size=3, max_windows=20) for rank in range(3)]
    assert [len(part) for part in parts] == [7, 7, 7]
    together = [i for part in parts for i in part]
    assert set(together) == set(drawn(max_windows=20))
    four = [drawn(rank=rank, world_size=4, max_windows=5) for rank in range(4)]
    twice = [part[1] for part in four[1:]]  # the last round is filled up from the start
    assert twice == drawn(max_windows=5)[:3]
    one = [drawn(rank=rank, world_size=3, max_windows=1) for rank in range(3)]
    assert one[0] == one[1] == one[2]


def test_the_seed_of_a_run():
    config = dict(type='RandomWindowSampler', max_windows=5)
    sampler = DATA_SAMPLERS.build(config, default_args=dict(dataset=WINDOWS, seed=3))
    assert list(sampler) == drawn(seed=3, max_windows=5)
    assert len(list(RandomWindowSampler(dataset=WINDOWS))) == 100


@pytest.mark.parametrize('windows', [0, -1, 1.5])
def test_refused_numbers(windows):
    with pytest.raises(ValueError, match=f'an integer from 1 or None, got {windows}'):
        RandomWindowSampler(dataset=WINDOWS, max_windows=windows)
