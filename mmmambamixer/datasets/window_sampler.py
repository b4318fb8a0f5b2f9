"""Epochs of at most so many windows."""

from collections.abc import Iterator, Sized

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from ..registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class RandomWindowSampler(Sampler):
    """Draw windows at random, without replacement, anew in each epoch.

    What is drawn depends on seed and epoch only. Neighbouring windows share almost all
    rows, so that an epoch need not see all of them.

    Args:
        dataset: The dataset.
        max_windows: At most so many an epoch, over all processes; None means all.
        seed: Seed of the run; None takes one that all processes share.

    Raises:
        ValueError: If `max_windows` is not positive.
    """

    def __init__(
        self, *, dataset: Sized, max_windows: int | None = None, seed: int | None = None
    ) -> None:
        if max_windows is not None and (
            not isinstance(max_windows, int) or max_windows < 1
        ):
            raise ValueError(
                f'max_windows must be an integer from 1 or None, got {max_windows!r}'
            )
        self.rank, self.world_size = get_dist_info()
        self.dataset = dataset
        self.windows = min(max_windows or len(dataset), len(dataset))
        self.seed = sync_random_seed() if seed is None else seed
        self.epoch = 0

    def __len__(self) -> int:
        return -(-self.windows // self.world_size)

    def __iter__(self) -> Iterator[int]:
        random = np.random.default_rng((self.seed, self.epoch))
        drawn = random.permutation(len(self.dataset))[: self.windows]
        places = np.arange(self.rank, len(self) * self.world_size, self.world_size)
        yield from drawn[places % self.windows].tolist()  # the last round is filled up

    def set_epoch(self, epoch: int) -> None:
        """Draw for this epoch, from 0."""
        self.epoch = epoch
