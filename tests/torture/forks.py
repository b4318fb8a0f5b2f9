"""Runs of the toy in child processes, which may be killed without harm to the parent.

The parent has imported everything, so a child begins at once.
"""

import mmap
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
import toy

from mmmambamixer.messages import TrainingStopped

STOPPED = 3
"""Exit code of a run that ended with `TrainingStopped`."""


class Started:
    """Tells the parent when all processes of a run are in their first iteration."""

    def __init__(self, ranks: int = 1) -> None:
        self.ranks = ranks
        self.shared = mmap.mmap(-1, ranks)

    def tell(self, runner) -> None:
        self.shared[runner.rank] = 1

    def wait(self) -> None:
        until = time.monotonic() + 60
        while sum(self.shared[:]) < self.ranks:
            if time.monotonic() > until:
                raise SystemExit('a run did not start within a minute')
            time.sleep(0.01)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def start(
    folder: Path,
    *,
    ranks: int = 1,
    prepare: Callable[[int], None] | None = None,
    timeout: float = 60,
    **settings,
) -> list[int]:
    """Fork a process for each rank; return their numbers.

    Args:
        folder: Work folder of the run.
        ranks: Processes of the run; they talk over gloo.
        prepare: Called in each child with its rank before the run.
        timeout: Seconds that a rank waits for another.
        **settings: Of `toy.run`.
    """
    port, children = free_port(), []
    for rank in range(ranks):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = _run(folder, rank, ranks, port, prepare, timeout, settings)
            finally:  # nothing of the parent's may run here
                os._exit(code)
        children.append(child)
    return children


def _run(folder, rank, ranks, port, prepare, timeout, settings) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    log = os.open(folder / f'log-{rank}', os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        if ranks > 1:
            names = ('RANK', 'LOCAL_RANK', 'WORLD_SIZE')
            os.environ.update(zip(names, map(str, (rank, rank, ranks)), strict=True))
            dist.init_process_group(
                'gloo',
                init_method=f'tcp://127.0.0.1:{port}',
                rank=rank,
                world_size=ranks,
                timeout=timedelta(seconds=timeout),
            )
            settings = dict(launcher='pytorch', **settings)
        if prepare:
            prepare(rank)
        runner = toy.run(folder, **settings)
        if rank == 0:
            torch.save(final_state(runner), folder / 'final.pth')
        return 0
    except TrainingStopped as error:
        print(f'stopped: {error}', flush=True)
        return STOPPED
    except SystemExit as leave:
        return leave.code
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()


def wait(children: list[int]) -> list[int]:
    """Wait for the children; return their exit codes, negative for signals."""
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def kill(children: list[int], number: int = signal.SIGKILL) -> None:
    for child in children:
        with suppress(ProcessLookupError):
            os.kill(child, number)


def children_of(process: int) -> list[int]:
    """Return the processes that a process has started."""
    listed = Path(f'/proc/{process}/task/{process}/children').read_text()
    return [int(number) for number in listed.split()]


def final_state(runner) -> dict:
    """Return what has to be equal in the end."""
    (ema,) = (hook for hook in runner.hooks if hasattr(hook, 'ema_model'))
    model = getattr(runner.model, 'module', runner.model)
    best = runner.message_hub.get_info('best_ckpt')
    return dict(
        # one, unless the previous one could not be deleted: the next resume does
        best_files=len(list(Path(runner.work_dir).glob('best_error_*.pth'))),
        best=torch.load(best, weights_only=True)['state_dict'],
        best_error=runner.message_hub.get_info('best_score'),
        weights=model.state_dict(),
        ema=ema.ema_model.state_dict(),
        optimizer=runner.optim_wrapper.state_dict(),
        iterations=runner.iter,
    )


def equal(a, b) -> bool:
    """Compare nested tensors and numbers to the last bit."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def notes(folder: Path, rank: int) -> dict[str, set[str]]:
    """Return what was noted for each iteration: losses, samples, errors."""
    found = {}
    for line in (folder / f'notes-{rank}').read_text().splitlines():
        number, _, rest = line.partition(' ')
        if rest.endswith(']'):  # a killed run may leave half a line
            found.setdefault(number, set()).add(rest)
    return found


def same_run(a: Path, b: Path, ranks: int = 1) -> bool:
    """Return whether two finished runs are equal, iteration by iteration."""
    states = [torch.load(f / 'final.pth', weights_only=True) for f in (a, b)]
    return equal(*states) and all(notes(a, r) == notes(b, r) for r in range(ranks))
