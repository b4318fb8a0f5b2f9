"""Resume where a run stopped, to the bit: batches, augmentation and dropout.

Random numbers are drawn anew for every sample and every iteration from the seed, the
rank and the position. So neither the number of workers nor a restart changes them, and
nothing but the position has to be saved.
"""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import NamedTuple

from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import (
    BaseLoop,
    EpochBasedTrainLoop,
    IterBasedTrainLoop,
    Runner,
)
from torch.utils.data import BatchSampler, DataLoader, IterableDataset

from ...registry import HOOKS
from .facts import META, changes, facts_of, left_in_pass
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

    A checkpoint tells what its position refers to (`facts`). A run that resumes with
    another batch size or number of processes goes on with the samples that are left;
    where that is not defined, as in the middle of other data, it is refused.

    Limits: transforms that keep a state of their own between samples (caches of
    earlier images) start anew, and an iterable dataset is left as it is.
    """

    priority = 'LOWEST'  # the last before a training, which it may begin by validating

    seed_at_building = resumed = facts = None

    def before_run(self, runner: Runner) -> None:
        self.seed_at_building = runner.seed

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if not runner._resume:
            return
        meta = checkpoint['meta']
        self.resumed = meta.get(META)
        seed, given = meta.get('seed'), runner._randomness_cfg.get('seed')
        if None not in (seed, given) and seed != given:
            runner.logger.warning(
                f'the seed has changed ({seed} -> {given}): the run goes on with that '
                f'of the checkpoint, {seed}, which gave the order of its samples'
            )

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        meta = checkpoint['meta']
        if self.facts is not None:
            meta[META] = {**self.facts, **self._position(meta)}

    def before_train(self, runner: Runner) -> None:
        """Put the dataloader at the position of the run."""
        loop = runner.train_loop
        self.seed, self.rank, self.skipped = runner.seed, get_rank(), 0
        self.batches = self.endless = None
        self.first, self.epoch = loop._iter, loop._epoch
        loader = loop.dataloader
        if isinstance(loader.dataset, IterableDataset):
            runner.logger.warning(
                'an iterable dataset cannot resume where it was: it starts again'
            )
            return
        sampler = loader.batch_sampler.sampler
        if getattr(sampler, 'seed', None) == self.seed_at_building is not None:
            sampler.seed = runner.seed  # that of the checkpoint, when it resumes
        self.facts = facts_of(loader)
        self.facts['optimizer'] = type(runner.optim_wrapper.optimizer).__name__
        begun = self._begun(runner, loader)
        loop.dataloader = replayed(loader, self.seed, self.rank)
        self.batches = loop.dataloader.batch_sampler
        if isinstance(loop, IterBasedTrainLoop):
            self.endless = Endless(loop.dataloader, loop._iter, begun)
            loop.dataloader_iterator = self.endless
        else:
            self._skip_in_epoch(loop, begun)
        if validation_is_due(loop, within_epoch=self.skipped > 0):
            runner.val_loop.run()

    def _begun(self, runner: Runner, loader: DataLoader) -> 'Begun | None':
        """Return how far the pass of the checkpoint is; None if it does not say so.

        Raises:
            ValueError: If it is not defined which samples are left of it.
        """
        before = self.resumed
        if before is None:
            return None
        told = ' and '.join(changes(before, self.facts).values())
        left = left_in_pass(before, self.facts, loader)
        done, number = before['done'] * before['processes'], before['pass'] + 1
        where = f'after {done} of {before["samples"]} samples of pass {number}'
        if done == 0:
            left, where = 0, f'with pass {number}'
        elif left is None and isinstance(loader.batch_sampler.sampler, InfiniteSampler):
            left = done // self.facts['processes']
            where = f'after {done} samples in all, in another order'
        elif left is None:
            raise ValueError(
                f'the checkpoint was saved {where} over the data, and since then '
                f'{told}, so it is unknown which samples are left; set it back, resume '
                'from a checkpoint at the end of a pass, or start a new run from its '
                'weights, by load_from without resume'
            )
        if told:
            runner.logger.warning(f'{told}: the run goes on {where}')
        return Begun(before['pass'], left, before['batches'])

    def _skip_in_epoch(self, loop: EpochBasedTrainLoop, begun: 'Begun | None') -> None:
        length = len(self.batches)
        if begun is None:  # a checkpoint of others, or none
            self.skipped = loop._iter - loop._epoch * length
            if not 0 <= self.skipped <= length:
                raise ValueError(
                    f'the checkpoint was saved after {loop._epoch} epochs and '
                    f'{loop._iter} iterations, which does not fit epochs of '
                    f'{length} iterations: the data, the batch size or the number of '
                    'processes has changed'
                )
        else:
            self.skipped = self.batches.passed(begun)
            whole = loop._epoch * length + self.skipped
            loop._max_iters += loop._iter - whole
        self.begun = begun or Begun(loop._epoch, None, self.skipped)
        run_iter = loop.run_iter
        loop.run_iter = lambda i, batch: run_iter(i + self.skipped, batch)

    def _position(self, meta: Mapping) -> dict:
        """Return pass, samples of a process and batches that a checkpoint has done."""
        if self.endless is not None:
            begun, batches = self.endless.begun, self.endless.drawn
        elif meta['epoch'] != self.epoch:  # saved at the end of an epoch
            begun, batches = Begun(meta['epoch'], 0, 0), 0
        else:
            begun, batches = self.begun, meta['iter'] - self.first
        done = self.batches.samples_of(begun) + batches * self.facts['batch_size']
        if not isinstance(self.batches.sampler, InfiniteSampler):
            done = min(done, len(self.batches.sampler))
        return {'pass': begun.number, 'done': done, 'batches': begun.batches + batches}

    def before_train_epoch(self, runner: Runner) -> None:
        self.first, self.epoch = runner.iter, runner.epoch
        if self.batches is not None and self.endless is None:
            self.batches.start_epoch(runner.epoch)
            self.batches.leave_out(self.begun)

    def after_train_epoch(self, runner: Runner) -> None:
        self.skipped, self.begun = 0, Begun(runner.epoch + 1, 0, 0)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch=None
    ) -> None:
        seed_all(TRAINING, self.seed, self.rank, runner.iter)


class Begun(NamedTuple):
    """A pass over the data that has begun.

    Args:
        number: Passes before it.
        samples: Samples that this process has done of it; None if only batches count.
        batches: Batches that it has done.
    """

    number: int
    samples: int | None
    batches: int


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
        self.begun: Iterator | None = None

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

    def samples_of(self, begun: Begun) -> int:
        """Return the samples that are done of a pass."""
        if begun.samples is None:
            return begun.batches * self.batch_sampler.batch_size
        return begun.samples

    def leave_out(self, begun: Begun) -> None:
        """Leave out what is done of a pass, which has just been started."""
        done = self.samples_of(begun)
        if begun.samples is None or type(self.batch_sampler) is not BatchSampler:
            self.skip(begun.batches)
        else:
            size, last = self.batch_sampler.batch_size, self.batch_sampler.drop_last
            left = BatchSampler(islice(iter(self.sampler), done, None), size, last)
            self.begun = enumerate(left, start=-(-done // size))

    def passed(self, begun: Begun) -> int:
        """Return how many batches of a whole pass are not left of one."""
        if begun.samples is None or type(self.batch_sampler) is not BatchSampler:
            return begun.batches
        left = max(0, len(self.sampler) - begun.samples)
        size = self.batch_sampler.batch_size
        return len(self) - (
            left // size if self.batch_sampler.drop_last else -(-left // size)
        )

    def advance(self, done: int) -> Begun:
        """Go on after so many batches, counted over all passes from the first."""
        self.start_epoch(0)
        while (skipped := self.skip(done)) < done:
            done -= skipped
            self.start_epoch(self.epoch + 1)
        return Begun(self.epoch, None, done)


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
        begun: The pass that they have begun; None to count it.
    """

    def __init__(
        self, dataloader: DataLoader, done: int, begun: Begun | None = None
    ) -> None:
        self.dataloader, self.left = dataloader, done
        self.batches = dataloader.batch_sampler
        if begun is None:
            begun = self.batches.advance(done)
        else:
            self.batches.start_epoch(begun.number)
            self.batches.leave_out(begun)
        self.begun, self.drawn = begun, 0
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
            batch = next(self.iterator)
        except StopIteration:
            self.batches.start_epoch(self.batches.epoch + 1)
            self.begun, self.drawn = Begun(self.batches.epoch, 0, 0), 0
            self.iterator = iter(self.dataloader)
            batch = next(self.iterator)
        self.drawn += 1
        return batch


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


KEPT = (
    *('num_workers', 'collate_fn', 'pin_memory', 'timeout', 'worker_init_fn'),
    *('multiprocessing_context', 'prefetch_factor', 'persistent_workers'),
)
"""Arguments of a dataloader that stay as they are."""


def replayed(loader: DataLoader, seed: int, rank: int) -> DataLoader:
    """Return a dataloader like `loader`, with places for its random numbers."""
    return DataLoader(
        SeededDataset(loader.dataset, seed, rank),
        batch_sampler=CountedBatches(loader.batch_sampler),
        **{name: getattr(loader, name) for name in KEPT},
    )
