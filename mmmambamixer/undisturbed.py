"""Library calls that leave the process of the caller as they found it.

MMEngine's runner sets what belongs to a whole process: random numbers, the default
scope, loggers, thread counts, limits. A tool owns its process, a library call does not.
"""

import logging
import multiprocessing
import os
import random
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any

import numpy as np
import torch

LOCK = threading.RLock()
"""One call at a time: the state that it restores is that of all threads."""
if hasattr(os, 'register_at_fork'):  # not on Windows
    # of the threads that may hold it a child has none
    os.register_at_fork(after_in_child=lambda: globals().update(LOCK=threading.RLock()))

PATCHES = ('mmmambamixer.patches', 'mmmambamixer.compat')
"""Modules that change MMEngine when they are imported."""


@contextmanager
def undisturbed() -> Iterator[None]:
    """Restore the state of the process after a block, or after each call of a function.

    Restored are the random numbers of Python, NumPy and torch, environment variables,
    the current folder, `sys.path`, warning filters, loggers, MMEngine's default scope
    and current instances, its functions that `patches` replaces, torch's flags, thread
    counts, the start method of processes, the limit of open files and matplotlib's
    settings. It holds for exceptions too.

    The block begins with gradients, float32, the CPU and no autocast, whatever the
    caller has chosen; those of other threads wait for its end.

        @undisturbed()
        def fit(self, frame): ...
    """
    with LOCK, warnings.catch_warnings(), np.errstate(), ExitStack() as stack:
        for part in PARTS:
            for restore in part():
                stack.callback(restore)
        for context in defaults():
            stack.enter_context(context)
        torch.set_default_dtype(torch.float32)
        yield


def defaults() -> Iterator:
    """Yield the contexts in which torch does what it does by default."""
    yield torch.inference_mode(False)
    yield torch.enable_grad()
    for device in ('cpu', 'cuda'):
        if torch.is_autocast_enabled(device):
            yield torch.autocast(device, enabled=False)
    if torch.get_default_device().type != 'cpu':
        yield torch.device('cpu')


def kept(get: Callable, change: Callable) -> Callable[[], None]:
    """Return a call that sets a value to what it is now, if it has changed."""
    value = get()

    def restore() -> None:
        if get() != value:
            change(value)

    return restore


# Each part yields the calls that restore it.


def random_numbers() -> Iterator[Callable]:
    yield partial(random.setstate, random.getstate())
    yield partial(np.random.set_state, np.random.get_state())
    yield partial(torch.set_rng_state, torch.get_rng_state())
    if torch.cuda.is_initialized():
        yield partial(torch.cuda.set_rng_state_all, torch.cuda.get_rng_state_all())
    else:  # what its generators begin with
        yield partial(torch.cuda.manual_seed_all, torch.initial_seed())


def system() -> Iterator[Callable]:
    with suppress(FileNotFoundError):  # a folder that was removed
        yield kept(os.getcwd, os.chdir)
    yield partial(restore_environment, dict(os.environ))
    yield partial(sys.path.__setitem__, slice(None), sys.path[:])
    with suppress(ImportError):  # not on Windows
        import resource

        files = resource.RLIMIT_NOFILE
        yield kept(
            partial(resource.getrlimit, files), partial(resource.setrlimit, files)
        )


def restore_environment(before: dict[str, str]) -> None:
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


def processes() -> Iterator[Callable]:
    yield kept(
        partial(multiprocessing.get_start_method, allow_none=True),
        partial(multiprocessing.set_start_method, force=True),
    )
    yield kept(
        torch.multiprocessing.get_sharing_strategy,
        torch.multiprocessing.set_sharing_strategy,
    )
    yield kept(torch.get_num_threads, torch.set_num_threads)
    if cv2 := sys.modules.get('cv2'):
        yield kept(cv2.getNumThreads, cv2.setNumThreads)


def torch_flags() -> Iterator[Callable]:
    yield partial(
        torch.use_deterministic_algorithms,
        torch.are_deterministic_algorithms_enabled(),
        warn_only=torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    cudnn = torch.backends.cudnn
    for name in ('enabled', 'benchmark', 'deterministic'):
        yield partial(setattr, cudnn, name, getattr(cudnn, name))
    yield partial(torch.set_default_dtype, torch.get_default_dtype())
    yield partial(torch.set_grad_enabled, torch.is_grad_enabled())


def loggers() -> Iterator[Callable]:
    manager: Any = logging.root.manager
    yield manager._clear_cache  # called last: levels are remembered
    yield partial(setattr, manager, 'disable', manager.disable)
    for logger in (logging.root, *manager.loggerDict.values()):
        if isinstance(logger, logging.Logger):
            names = ('level', 'propagate', 'disabled')
            state = {name: getattr(logger, name) for name in names}
            lists = dict(handlers=logger.handlers[:], filters=logger.filters[:])
            yield partial(vars(logger).update, **state, **lists)


def mmengine_instances() -> Iterator[Callable]:
    """Default scope, loggers, message hubs and visualizers, the current ones last."""
    if module := sys.modules.get('mmengine.utils.manager'):
        todo = [module.ManagerMixin]
        while todo:
            kind = todo.pop()
            todo += kind.__subclasses__()
            yield partial(restore_instances, kind, dict(kind._instance_dict))


def restore_instances(kind: Any, before: dict) -> None:
    for name, instance in kind._instance_dict.items():
        if name not in before and isinstance(instance, logging.Logger):
            for handler in instance.handlers:
                handler.close()
    kind._instance_dict = type(kind._instance_dict)(before)  # it may be another one


def patches() -> Iterator[Callable]:
    if not any(name in sys.modules for name in PATCHES):
        yield remove_patches


def remove_patches() -> None:
    # Out of `sys.modules`: whoever imports one next expects that it patches.
    for name in PATCHES:
        if module := sys.modules.pop(name, None):
            module.remove()
            package, _, attribute = name.rpartition('.')
            delattr(sys.modules[package], attribute)


def plotting() -> Iterator[Callable]:
    if matplotlib := sys.modules.get('matplotlib'):
        settings = matplotlib.rcParams
        yield partial(dict.update, settings, dict(dict.items(settings)))


PARTS = (
    system,
    processes,
    torch_flags,
    loggers,
    mmengine_instances,
    patches,
    plotting,
    random_numbers,
)
