"""What can happen to a run: done to the toy, and what comes of it is judged."""

import os
import shutil
import signal
import time
from ast import literal_eval
from collections.abc import Iterator
from itertools import count, product
from pathlib import Path

import child_processes
import forks
import torch
import toy
from faults import Steps

from mmmambamixer.checkpoints import storage
from mmmambamixer.engine.hooks import interruption


class Suites:
    """Each public method is a suite: it yields None for a good trial, else a sentence.

    Args:
        folder: Scratch folder, where the undisturbed runs are kept for all suites.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.finished = folder, {}

    def begin(self, name: str, trials: int, generator) -> Iterator[str | None]:
        """Return what a suite yields.

        Args:
            name: Of the suite.
            trials: How many trials it makes; of `storage` every how many-th step, of
                `sigterm_each` every how many-th iteration.
            generator: Decides moments and places.
        """
        self.trials, self.random = trials, generator
        return getattr(self, name)()

    def _reference(self, **settings) -> Path:
        """Return the folder of a run that nothing disturbed, and note its seconds."""
        key = tuple(sorted(settings.items()))
        if key not in self.finished:
            folder = self.folder / f'reference-{len(self.finished)}'
            started = time.monotonic()
            codes = forks.wait(forks.start(folder, **settings))
            if any(codes):
                raise SystemExit(f'the undisturbed run failed: {last_line(folder)}')
            self.finished[key] = folder, time.monotonic() - started
        self.seconds = self.finished[key][1]
        return self.finished[key][0]

    def _fresh(self) -> Path:
        folder = self.folder / 'trial'
        shutil.rmtree(folder, ignore_errors=True)
        return folder

    def _verdict(self, folder: Path, ranks: int = 1, **settings) -> str | None:
        """Let a disturbed run finish; return what is wrong with it, or None."""
        codes = forks.wait(forks.start(folder, ranks=ranks, **settings))
        if any(codes):
            return f'does not resume, exit codes {codes}: {last_line(folder)}'
        undisturbed = self._reference(ranks=ranks, **settings)
        if not forks.same_run(undisturbed, folder, ranks):
            return 'differs from the undisturbed run'
        return None

    def kill(self, ranks: int = 1):
        """SIGKILL at a random moment, up to five times a run, then resume."""
        kinds = [
            dict(by_epoch=by_epoch, workers=workers, interval=interval)
            for workers in (0, 1)
            for by_epoch, interval in ((True, 1), (False, 5))
        ]
        done = 0
        while done < self.trials:
            settings = kinds[done % len(kinds)] | dict(ranks=ranks)
            self._reference(**settings)
            folder, kills = self._fresh(), 0
            while kills < min(5, self.trials - done):
                children = forks.start(folder, **settings)
                time.sleep(self.random.uniform(0.1, self.seconds))
                victim = self.random.randrange(ranks)
                forks.kill(children[victim : victim + 1])
                time.sleep(0.05)
                forks.kill(children)
                if not any(forks.wait(children)):  # it had ended already
                    break
                kills += 1
            fault = self._verdict(folder, **settings)
            yield from [fault] * kills
            done += kills

    def kill_two_ranks(self):
        """The same with two processes: one is killed, the other 50 ms later."""
        yield from self.kill(ranks=2)

    def storage(self):
        """SIGKILL, and a full disk, at every step of every write and removal.

        The run is validated twice, so that its best checkpoint is replaced.
        """
        settings = dict(epochs=2, by_epoch=False, interval=5)
        self._reference(**settings)
        for kind in ('kill', 'full'):
            for step in count(step=self.trials):
                steps, folder = Steps(step, kind), self._fresh()
                (code,) = forks.wait(
                    forks.start(folder, prepare=steps.install, **settings)
                )
                if not steps.reached:
                    break
                fault = self._verdict(folder, **settings)
                if kind == 'full' and code not in (0, forks.STOPPED):
                    fault = f'exit code {code}'
                yield fault and f'{kind} at step {step}: {fault}'

    def corrupt(self):
        """Damage the newest checkpoint; the one before it has to be used."""
        settings = dict(keep=2)
        whole = self._reference(**settings)
        name = f'epoch_{toy.EPOCHS}.pth'
        data = (whole / name).read_bytes()
        for i in range(self.trials):
            kind, damaged = damage(data, i, self.random)
            folder = self._fresh()
            shutil.copytree(whole, folder, ignore=shutil.ignore_patterns('final.pth'))
            (folder / name).write_bytes(damaged)
            (folder / 'log-0').unlink()
            if storage.is_complete(folder / name):
                yield f'{kind}: not detected'
                continue
            fault = self._verdict(folder, **settings)
            if f'passed over: {folder / name}' not in (folder / 'log-0').read_text():
                fault = 'the log does not name it'
            yield fault and f'{kind}: {fault}'

    def sigterm(self):
        """Ask a run to end at a random moment, with one and two processes."""
        i = 0
        while i < self.trials:
            settings = dict(ranks=1 + i % 2, by_epoch=i % 4 < 2, interval=6)
            self._reference(**settings)
            folder = self._fresh()
            started = forks.Started(settings['ranks'])
            children = forks.start(folder, act=started.tell, **settings)
            started.wait()
            time.sleep(self.random.uniform(0, self.seconds / 2))
            number = self.random.choice(interruption.SIGNALS)
            asked = time.monotonic()
            forks.kill(children[-1:], number)
            codes = forks.wait(children)
            seconds = time.monotonic() - asked
            if not any(codes):  # it had ended already
                continue
            i += 1
            fault = self._verdict(folder, **settings)
            if set(codes) != {interruption.SHELL_BASE + number}:
                fault = f'exit codes {codes}'
            elif seconds > 10:
                fault = f'it took {seconds:.1f} s to end'
            yield fault

    def sigterm_each(self):
        """Ask one of two processes to end, in each iteration.

        Some iterations are followed by a validation and some by none, by a checkpoint
        or by none.
        """
        settings = dict(ranks=2, by_epoch=False, interval=6)
        self._reference(**settings)
        iterations = toy.EPOCHS * toy.SAMPLES // toy.BATCH // settings['ranks']
        for at in range(0, iterations, self.trials):
            folder = self._fresh()
            act = toy.Ask(at, rank=at % 2)
            codes = forks.wait(forks.start(folder, act=act, **settings))
            fault = self._verdict(folder, **settings)
            if set(codes) != {interruption.SHELL_BASE + signal.SIGTERM}:
                fault = f'exit codes {codes}'
            yield fault and f'in iteration {at + 1}: {fault}'

    def sigterm_all(self):
        """Signal all processes of a run, as a terminal and Slurm do, those of data too.

        Those that load data go on until the run has saved. SIGTERM goes to the process
        group.
        """
        settings = dict(workers=2)
        self._reference(**settings)
        for i in range(self.trials):
            number = interruption.SIGNALS[i % 3]
            at = self.random.randrange(1, 36)

            def act(runner, number=number, at=at) -> None:
                if runner.iter == at:
                    for child in forks.children_of(os.getpid()):
                        if number != signal.SIGTERM:
                            os.kill(child, number)
                    os.killpg(0, number)

            folder = self._fresh()
            own_group = lambda rank: os.setpgid(0, 0)  # noqa: E731
            codes = forks.wait(
                forks.start(folder, act=act, prepare=own_group, **settings)
            )
            fault = self._verdict(folder, **settings)
            if codes != [interruption.SHELL_BASE + number]:
                fault = f'exit codes {codes}: {last_line(folder)}'
            yield fault

    def children(self):
        """End the processes that a training starts, as the pool of a metric.

        They end as without `InterruptionHook`, by the signal: SIGINT raises an error in
        Python.
        """
        found = {}

        def act(runner) -> None:
            if runner.iter == 1:
                for work, number in cases:
                    code = child_processes.end_of(work, number)
                    found[work.__name__, number.name] = code
                found['pool'] = child_processes.pool_ends()
                (folder / 'ends').write_text(repr(found))

        cases = [*product(child_processes.WORK, interruption.SIGNALS)][: self.trials]
        folder = self._fresh()
        codes = forks.wait(forks.start(folder, epochs=1, act=act))
        ends = literal_eval((folder / 'ends').read_text())
        for work, number in cases:
            code = ends[work.__name__, number.name]
            wanted = 1 if number == signal.SIGINT else -number
            told = f'{work.__name__} on {number.name}: {code}, not {wanted}'
            yield None if code == wanted else told
        yield None if ends['pool'] and codes == [0] else 'a pool does not end'

    def nan(self):
        """A loss or gradient that is not finite, at a random iteration."""
        for i in range(self.trials):
            settings = dict(ranks=1 + i % 2)
            folder = self._fresh()
            at = self.random.randrange(1, 36 // settings['ranks'])
            kind = ('loss', 'gradient')[i // 2 % 2]
            act = toy.Poison(kind, at, rank=i % settings['ranks'])
            codes = forks.wait(forks.start(folder, act=act, **settings))
            text = (folder / 'log-0').read_text()
            seen = sum(key.isdecimal() for key in forks.notes(folder, 0))
            if set(codes) != {forks.STOPPED} or seen != at:
                yield f'{kind} at {at}: exit codes {codes}, {seen} iterations'
            elif f'iteration {at + 1} is not finite' not in text:
                yield f'{kind} at {at}: the message does not name the iteration'
            elif any(not finite(path) for path in folder.glob('*.pth')):
                yield f'{kind} at {at}: a checkpoint holds NaN'
            else:
                yield self._verdict(folder, **settings)

    def dead_worker(self):
        """A process that loads data dies."""
        settings = dict(workers=1)
        self._reference(**settings)
        for _ in range(self.trials):
            folder, started = self._fresh(), forks.Started()
            (child,) = forks.start(folder, act=started.tell, **settings)
            started.wait()
            forks.kill(forks.children_of(child))
            (code,) = forks.wait([child])
            if code != forks.STOPPED:
                yield f'exit code {code}: {last_line(folder)}'
            elif 'a process that loads data died' not in last_line(folder):
                yield f'it says: {last_line(folder)}'
            else:
                yield self._verdict(folder, **settings)

    def dead_rank(self):
        """One of two processes dies; the other one must end soon, not wait."""
        yield from self._lost_rank(signal.SIGKILL, limit=5)

    def hung_rank(self):
        """One of two processes hangs; the other one ends when its patience does."""
        yield from self._lost_rank(signal.SIGSTOP, limit=PATIENCE + 10)

    def _lost_rank(self, number: int, limit: float):
        settings = dict(ranks=2)
        self._reference(**settings)
        for _ in range(self.trials):
            folder, started = self._fresh(), forks.Started(settings['ranks'])
            children = forks.start(
                folder, act=started.tell, timeout=PATIENCE, **settings
            )
            started.wait()
            forks.kill(children[1:], number)
            lost = time.monotonic()
            (code,) = forks.wait(children[:1])
            seconds = time.monotonic() - lost
            forks.kill(children[1:])
            forks.wait(children[1:])
            if code == 0 or seconds > limit:
                yield f'exit code {code} after {seconds:.1f} s'
            else:
                yield self._verdict(folder, **settings)


PATIENCE = 15
"""Seconds that a process waits for another one in `hung_rank`."""


def damage(data: bytes, i: int, generator) -> tuple[str, bytes]:
    """Return the i-th way to damage a file, and the damaged bytes."""
    place = generator.randrange(len(data))
    if i % 4 == 0:
        return f'cut off at {place}', data[:place]
    if i % 4 == 1:
        return 'empty', b''
    if i % 4 == 2:
        end = min(len(data), place + 512)
        changed = data[:place] + bytes(end - place) + data[end:]
        if changed != data:
            return f'zeros from {place} to {end}', changed
    flipped = bytearray(data)
    flipped[place] ^= 1 << generator.randrange(8)
    return f'a bit of byte {place} flipped', bytes(flipped)


def last_line(folder: Path) -> str:
    """Return the last line of what the first process of a run wrote."""
    lines = (folder / 'log-0').read_text(errors='replace').strip().splitlines()
    return lines[-1] if lines else 'it wrote nothing'


def finite(path: Path) -> bool:
    """Return whether all weights of a checkpoint are finite numbers."""
    state = torch.load(path, weights_only=True)['state_dict']
    return all(value.isfinite().all() for value in state.values())
