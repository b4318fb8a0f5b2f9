"""Resume where a run stopped, to the bit: batches, augmentation and dropout.

Random numbers are drawn anew for every sample and every iteration from the seed, the
rank and the position. So neither the number of workers nor a restart changes them, and
nothing but the position has to be saved.
"""

from collections.abc import Iterator
from itertools import islice

from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import (
    BaseLoop,
    EpochBasedTrainLoop,
    IterBasedTrainLoop,
    Runner,
)
from torch.utils.data import DataLoader, IterableDataset

from ...registry import HOOKS
from .randomness import seed_all

TRAINING, SAMPLES = 0, 1
"""First number of a place: what the random numbers are for."""


@HOOKS.register_module()
class ReplayHook(Hook):
    """Make a resumed run equal to one that was never interrupted.

    Before each iteration the random numbers of Python, NumPy and torch are seeded with
    (seed, rank, iteration); before each sample with (seed, rank, epoch, batch, place in
    the batch). Batches that were trained are skipped without being loaded, in the
    middle of an epoch too. A checkpoint is saved before the validation that is due at
    the same moment, so a run that resumes from it validates first.

    Limits: transforms that keep a state of their own between samples (caches of
    earlier images) start anew, and an iterable dataset is left as it is.
    """

    priority = 'LOWEST'  # the last before a training, which it may begin by validating

    def before_train(self, runner: Runner) -> None:
        """Put the dataloader at the position of the run."""
        loop = runner.train_loop
        self.seed, self.rank, self.skipped = runner.seed, get_rank(), 0
        self.batches = None
        if isinstance(loop.dataloader.dataset, IterableDataset):
            runner.logger.warning('An iterable dataset cannot be put at a position')
            return
        loop.dataloader = replayed(loop.dataloader, self.seed, self.rank)
        self.batches = loop.dataloader.batch_sampler
        if isinstance(loop, IterBasedTrainLoop):
            loop.dataloader_iterator = Endless(loop.dataloader, done=loop._iter)
        else:
            self._skip_in_epoch(loop)
        if validation_is_due(loop, within_epoch=self.skipped > 0):
            runner.val_loop.run()

    def _skip_in_epoch(self, loop: EpochBasedTrainLoop) -> None:
        self.skipped = loop._iter - loop._epoch * len(self.batches)
        if not 0 <= self.skipped <= len(self.batches):
            raise ValueError(
                f'the checkpoint was saved after {loop._iter} iterations in epoch '
                f'{loop._epoch + 1}, but an epoch now has {len(self.batches)}: the '
                'data, the batch size or the number of processes has changed'
            )
        run_iter = loop.run_iter
        loop.run_iter = lambda i, batch: run_iter(i + self.skipped, batch)

    def before_train_epoch(self, runner: Runner) -> None:
        by_iterations = isinstance(runner.train_loop, IterBasedTrainLoop)
        if self.batches is not None and not by_iterations:
            self.batches.start_epoch(runner.epoch)
            self.batches.skip(self.skipped)

    def after_train_epoch(self, runner: Runner) -> None:
        self.skipped = 0

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch=None
    ) -> None:
        seed_all(TRAINING, self.seed, self.rank, runner.iter)


class CountedBatches:
    """A batch sampler that tells the place of each sample, and may skip batches.

    Yields lists of `((epoch, batch, place), index)`, which is what `SeededDataset`
    takes.

    Args:
        batch_sampler: The sampler of the lists of indices.
    """

    def __init__(self, batch_sampler) -> None:
        self.batch_sampler = batch_sampler
        self.sampler = batch_sampler.sampler  # MMEngine sets its epoch
        if isinstance(self.sampler, InfiniteSampler):
            # It goes on where it was; workers have drawn from it already.
            self.sampler.indices = self.sampler._indices_of_rank()
        self.epoch = 0
        self.begun = None

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[list]:
        numbered, self.begun = self.begun or enumerate(self.batch_sampler), None
        for number, batch in numbered:
            places = ((self.epoch, number, place) for place in range(len(batch)))
            yield list(zip(places, batch, strict=True))

    def start_epoch(self, epoch: int) -> None:
        """Begin a pass, as MMEngine's loops do."""
        self.epoch, self.begun = epoch, None
        if hasattr(self.sampler, 'set_epoch'):
            self.sampler.set_epoch(epoch)

    def skip(self, batches: int) -> int:
        """Leave out the first batches of a pass; return how many it had of them."""
        self.begun = enumerate(self.batch_sampler)
        return sum(1 for _ in islice(self.begun, batches))

    def advance(self, done: int) -> None:
        """Go on after so many batches, counted over all passes from the first."""
        self.start_epoch(0)
        while (skipped := self.skip(done)) < done:
            done -= skipped
            self.start_epoch(self.epoch + 1)


class SeededDataset:
    """A dataset whose random transforms depend on the place of a sample only.

    Attributes are those of the dataset, when they are set too: hooks that change its
    pipeline work as before.

    Args:
        dataset: The dataset.
        seed: Seed of the run.
        rank: Rank of the process.
    """

    OWN = ('dataset', 'seed', 'rank')

    def __init__(self, dataset, seed: int, rank: int) -> None:
        self.dataset, self.seed, self.rank = dataset, seed, rank

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, item: tuple):
        place, index = item
        seed_all(SAMPLES, self.seed, self.rank, *place)
        return self.dataset[index]

    def __getattr__(self, name: str):
        if name.startswith('__') or name in self.OWN:  # not while it is unpickled
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __setattr__(self, name: str, value) -> None:
        owner = self if name in self.OWN else self.dataset
        object.__setattr__(owner, name, value)


class Endless:
    """What an iteration-based loop draws from: pass after pass, without an end.

    The loop draws `done` times in vain when it resumes; those draws load nothing.

    Args:
        dataloader: What `replayed` returned.
        done: Batches that were trained.
    """

    def __init__(self, dataloader: DataLoader, done: int) -> None:
        self.dataloader, self.left = dataloader, done
        self.batches = dataloader.batch_sampler
        self.batches.advance(done)
        self.iterator = None

    def __iter__(self) -> 'Endless':
        return self

    def __next__(self):
        if self.left:
            self.left -= 1
            return None
        if self.iterator is None:
            self.iterator = iter(self.dataloader)
        try:
            return next(self.iterator)
        except StopIteration:
            self.batches.start_epoch(self.batches.epoch + 1)
            self.iterator = iter(self.dataloader)
            return next(self.iterator)


def validation_is_due(loop: BaseLoop, within_epoch: bool) -> bool:
    """Return whether a resumed loop stands where it validates.

    Args:
        loop: By epochs or by iterations.
        within_epoch: Whether it stands between the ends of two epochs.
    """
    if loop.runner.val_loop is None or within_epoch:
        return False
    if isinstance(loop, IterBasedTrainLoop):
        done, last = loop._iter, loop._max_iters
    else:
        done, last = loop._epoch, loop._max_epochs
    loop._decide_current_val_interval()
    whole = done % loop.val_interval == 0 or done == last
    return done > 0 and done >= loop.val_begin and whole


def replayed(loader: DataLoader, seed: int, rank: int) -> DataLoader:
    """Return a dataloader like `loader`, with places for its random numbers."""
    return DataLoader(
        SeededDataset(loader.dataset, seed, rank),
        batch_sampler=CountedBatches(loader.batch_sampler),
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
        pin_memory=loader.pin_memory,
        timeout=loader.timeout,
        worker_init_fn=loader.worker_init_fn,
        multiprocessing_context=loader.multiprocessing_context,
        prefetch_factor=loader.prefetch_factor,
        persistent_workers=loader.persistent_workers,
    )
