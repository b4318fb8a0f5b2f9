"""From a config to a runner that is checked and ready: shared by the tools.

`prepare` is behind training, testing and the forecaster.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import RUNNERS
from mmengine.runner import Runner, find_latest_checkpoint
from mmengine.runner.checkpoint import CheckpointLoader

from ..messages import AT_FAULT, TrainingStopped, one_sentence
from ..preflight.config import check_config
from ..preflight.data.files import check_data
from ..preflight.data.samples import UnusableSample
from ..preflight.model import check_channels, check_preprocessor
from ..preflight.starting_weights import check_loaded, check_starting_weights
from .data import open_data, warn_of_test
from .hooks.checkpoint import SafeCheckpointHook
from .mixed_precision import check_bfloat16, fit_amp_to_cpu
from .ranks import check_norms, join_ranks
from .restart import resume_if_restarted

VARIABLES = dict(
    pytorch=('RANK', 'WORLD_SIZE', 'LOCAL_RANK'),
    slurm=('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_NODELIST'),
    mpi=('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_LOCAL_RANK'),
)
"""What MMEngine reads from the environment, by launcher."""
STARTERS = dict(
    pytorch='torchrun, as tools/dist_train.sh does',
    slurm='srun, as tools/slurm_train.sh does',
    mpi='mpirun',
)


class Begun(Hook):
    """Note that the first batch is there, so that errors are no longer the config's."""

    yes = False

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        self.yes = True


class Warned(logging.Handler):
    """Keep the warnings that a logger gets."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@contextmanager
def warnings_kept(runner: Runner) -> Iterator[None]:
    """Keep what is warned of in `runner.warned`, for `repeat_warnings`."""
    warned = Warned()
    runner.warned = warned.messages
    runner.logger.addHandler(warned)
    try:
        yield
    finally:
        runner.logger.removeHandler(warned)


def repeat_warnings(runner: Runner) -> None:
    """Log again, at the end of a run, what the checks before it warned of."""
    if warned := list(dict.fromkeys(runner.warned)):
        told = '\n'.join(f'- {message}' for message in warned)
        runner.logger.warning(f'the checks before this run warned of:\n{told}')


def prepare(config: Config, part: str, *, auto_resume: bool = False) -> Runner:
    """Return a runner whose config, data, model and starting weights fit each other.

    Each check is done once, the cheap ones first.

    Args:
        config: From `load_config`; changed in place.
        part: 'train', which includes validation, or 'test'.
        auto_resume: Whether to resume from the newest checkpoint of the work folder
            if there is one, and else start as the config says.

    Raises:
        FileNotFoundError: If a file that the config names is missing.
        ValueError: If something does not fit; the message names both sides.
        TrainingStopped: If there are checkpoints to resume from and none is complete.
    """
    check_config(config, part)
    parts = ('train', 'val') if part == 'train' else (part,)
    start = told = None
    if part == 'train':
        told = fit_amp_to_cpu(config)
        restarted = resume_if_restarted(config)
        start = config.get('load_from')
        if auto_resume and not restarted:
            config.load_from = None  # else MMEngine would resume from it
    check_data(config, *parts)
    runner = build_runner(config)
    if told:
        runner.logger.info(told)
    if part == 'train':
        check_bfloat16(runner.model, config)
        check_starting_weights(runner.model)
        meta, path = check_start(runner, otherwise=start)
        anew = not runner._resume
        with warnings_kept(runner):
            open_data(runner, *parts, meta=meta, path=path, anew=anew)
            warn_of_test(runner)
    else:
        path = config.load_from
        checkpoint = CheckpointLoader.load_checkpoint(path, map_location='cpu')
        check_loaded(runner, checkpoint, path, trains=False)
        with warnings_kept(runner):
            open_data(runner, *parts, meta=checkpoint.get('meta'), path=path)
    return runner


def train(runner) -> None:
    """Train; what is wrong with the config, or with a file, ends in one sentence."""
    begun = Begun()
    runner.register_hook(begun)
    try:
        with one_sentence((UnusableSample, TrainingStopped, ImportError)):
            runner.train()
        repeat_warnings(runner)
    except AT_FAULT as error:
        if begun.yes:
            raise
        with one_sentence():
            raise error


def build_runner(config: Config):
    """Build the config's runner; `SafeRunner` where it names none.

    Raises:
        ValueError: If neck or heads do not fit the backbone.
    """
    check_launcher(config)
    config.setdefault('runner_type', 'SafeRunner')
    join_ranks(config)
    runner = RUNNERS.build(config)
    check_norms(config, runner.model)
    check_channels(runner.model)
    check_preprocessor(runner.model)
    return runner


def check_launcher(config: Config) -> None:
    """Raise ValueError if what a launcher tells its processes is not there."""
    launcher = config.get('launcher', 'none')
    missing = [name for name in VARIABLES.get(launcher, ()) if name not in os.environ]
    if missing:
        raise ValueError(
            f'--launcher {launcher} needs {", ".join(missing)} in the environment: '
            f'start it with {STARTERS[launcher]}'
        )


def check_start(
    runner: Runner, otherwise: str | None = None
) -> tuple[Mapping | None, str]:
    """Raise unless the checkpoint that a training will start from is there and fits.

    Args:
        runner: Before it trains.
        otherwise: What to load where there is no checkpoint to go on from.

    Returns:
        `meta` of that checkpoint and its path; None and '' where there is none, or
        where its heads start anew.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If it does not fit, or `load_except` does not.
        TrainingStopped: If there are checkpoints to go on from and none is complete.
    """
    for hook in runner.hooks:
        if isinstance(hook, SafeCheckpointHook):
            hook.before_run(runner)  # chooses the newest that is complete
    path = runner._load_from
    if runner._resume and path is None:
        path = find_latest_checkpoint(runner.work_dir)
        if path is None:
            runner._resume, path = False, otherwise
            runner._load_from = otherwise
            start = f'starts from {otherwise}' if otherwise else 'starts anew'
            runner.logger.warning(
                f'--resume: no checkpoint in {runner.work_dir}, {start}'
            )
    if path is not None:
        checkpoint = CheckpointLoader.load_checkpoint(path, map_location='cpu')
        parts = check_loaded(runner, checkpoint, path, trains=True)
        heads = [name for part in parts for name in part.split('.')]
        if not any(name.endswith('head') for name in heads):
            return checkpoint.get('meta'), path
    elif runner.cfg.get('load_except'):
        raise ValueError(
            'load_except names parts that are not loaded from load_from, but the '
            'config has no load_from: set it, or leave load_except out'
        )
    return None, ''
