"""Library calls leave the process of the caller as they found it."""

import contextlib
import logging
import multiprocessing
import os
import random
import resource
import signal
import sys
import threading
import time
import warnings

import cv2
import matplotlib
import mmengine.config.config as mmengine_config
import mmengine.runner.checkpoint as mmengine_checkpoint
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope, init_default_scope
from mmengine.runner.utils import set_random_seed
from mmengine.utils.dl_utils import set_multi_processing

from mmmambamixer.undisturbed import undisturbed

BASE = os.path.join(os.path.dirname(__file__), '../configs/_base_/mmmambamixer.py')


LOGGERS = [
    each
    for each in logging.root.manager.loggerDict.values()
    if isinstance(each, logging.Logger)
]


def limit_files(count: int) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def change_scope() -> None:
    init_default_scope('mmmambamixer')
    with DefaultScope.overwrite_default_scope('mmengine'):
        pass  # leaves a copy of the known scopes


def start_method() -> str | None:
    return multiprocessing.get_start_method(allow_none=True)


READ = dict(
    python=random.getstate,
    numpy=lambda: [*map(str, np.random.get_state())],
    torch=lambda: torch.get_rng_state().tolist(),
    environment=lambda: dict(os.environ),
    folder=os.getcwd,
    path=lambda: sys.path[:],
    filters=lambda: warnings.filters[:],
    show=lambda: warnings.showwarning,
    numpy_errors=np.geterr,
    root=lambda: (
        logging.root.level,
        logging.root.handlers[:],
        logging.root.filters[:],
    ),
    loggers=lambda: [
        (each.name, each.level, each.handlers[:], each.propagate, each.disabled)
        for each in LOGGERS
    ],
    disabled=lambda: logging.root.manager.disable,
    scopes=lambda: [*DefaultScope._instance_dict],
    mmloggers=lambda: [*MMLogger._instance_dict],
    hubs=lambda: [*MessageHub._instance_dict],
    deterministic=torch.are_deterministic_algorithms_enabled,
    warn_only=torch.is_deterministic_algorithms_warn_only_enabled,
    cudnn=lambda: (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
    dtype=torch.get_default_dtype,
    gradients=torch.is_grad_enabled,
    threads=torch.get_num_threads,
    cv2_threads=cv2.getNumThreads,
    start_method=start_method,
    sharing=torch.multiprocessing.get_sharing_strategy,
    files=lambda: resource.getrlimit(resource.RLIMIT_NOFILE),
    backend=lambda: dict.get(matplotlib.rcParams, 'backend'),
    figure=lambda: dict.get(matplotlib.rcParams, 'figure.dpi'),
    signals=lambda: [*map(signal.getsignal, (signal.SIGINT, signal.SIGTERM))],
    bases=lambda: mmengine_config.get_installed_path,
    loaders=lambda: dict(mmengine_checkpoint.CheckpointLoader._schemes),
    downloads=lambda: mmengine_checkpoint.load_url,
)
"""What belongs to the process, and how it is read."""

CHANGES = dict(
    seed=lambda: set_random_seed(5),
    deterministic=lambda: set_random_seed(5, deterministic=True),
    draw=lambda: (random.random(), np.random.rand(), torch.rand(1)),
    set_variable=lambda: os.environ.update(NEW_VARIABLE='1', HOME='/'),
    drop_variable=lambda: os.environ.pop('PATH'),
    folder=lambda: os.chdir('/'),
    path=lambda: sys.path.insert(0, '/'),
    ignore=lambda: warnings.simplefilter('ignore'),
    reset_filters=warnings.resetwarnings,
    capture=lambda: setattr(warnings, 'showwarning', print),
    numpy_errors=lambda: np.seterr(all='raise'),
    root_level=lambda: logging.root.setLevel(1),
    root_handler=lambda: logging.root.addHandler(logging.NullHandler()),
    basic_config=lambda: logging.basicConfig(level=3, force=True),
    level=lambda: logging.getLogger('asyncio').setLevel(1),
    disable=lambda: logging.disable(50),
    scope=lambda: init_default_scope('mmmambamixer'),
    copied_scopes=change_scope,
    logger=lambda: MMLogger.get_instance('a run', log_file=os.devnull),
    hub=lambda: MessageHub.get_instance('a run'),
    benchmark=lambda: setattr(
        torch.backends.cudnn, 'benchmark', not torch.backends.cudnn.benchmark
    ),
    dtype=lambda: torch.set_default_dtype(torch.float64),
    gradients=lambda: torch.set_grad_enabled(False),
    threads=lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    processes=lambda: set_multi_processing('spawn', 0),
    sharing=lambda: torch.multiprocessing.set_sharing_strategy('file_system'),
    files=lambda: limit_files(200),
    backend=lambda: matplotlib.use('svg'),
    style=lambda: matplotlib.rcParams.update({'figure.dpi': 7}),
    patches=lambda: Config.fromfile(BASE),
)


def state() -> dict:
    return {name: read() for name, read in READ.items()}


@pytest.fixture
def stock(monkeypatch):
    """Without patches, scopes and loggers that other tests have left."""
    for kind in (DefaultScope, MMLogger, MessageHub):
        monkeypatch.setattr(kind, '_instance_dict', type(kind._instance_dict)())
    sys.modules.pop('mmmambamixer.compat', None)
    if module := sys.modules.pop('mmmambamixer.patches', None):
        module.remove()
    yield
    if module:
        sys.modules['mmmambamixer.patches'] = module
        module.install()


@pytest.mark.parametrize('name', CHANGES)
@pytest.mark.parametrize('fails', [False, True])
def test_a_change_does_not_outlive_the_call(name, fails, stock):
    @undisturbed()
    def call() -> None:
        CHANGES[name]()
        assert state() != before
        if fails:
            raise KeyError(name)

    before = state()
    for _ in range(2):  # a change of the second call is seen as well
        if fails:
            with pytest.raises(KeyError):
                call()
        else:
            call()
        assert state() == before


SETTINGS = dict(
    no_grad=torch.no_grad,
    inference=torch.inference_mode,
    autocast=lambda: torch.autocast('cpu', torch.bfloat16),
    device=lambda: torch.device('meta'),
)


@pytest.mark.parametrize('name', [*SETTINGS, 'dtype'])
def test_a_block_begins_as_torch_does(name):
    @undisturbed()
    def derivative() -> torch.Tensor:
        x = torch.ones(2, requires_grad=True)
        (x @ x).backward()
        return x.grad

    before = torch.get_default_dtype()
    if name == 'dtype':
        torch.set_default_dtype(torch.float64)
    try:
        with SETTINGS.get(name, contextlib.nullcontext)():
            found = derivative()
            made = torch.ones(2) @ torch.ones(2)
    finally:
        torch.set_default_dtype(before)
    assert found.dtype is torch.float32 and found.tolist() == [2, 2]
    wanted = dict(autocast=torch.bfloat16, dtype=torch.float64)
    assert made.dtype is wanted.get(name, torch.float32), 'as the caller has it'
    assert made.device.type == ('meta' if name == 'device' else 'cpu')


def test_threads_wait_for_each_other():
    inside = []

    @undisturbed()
    def call(number: int) -> None:
        torch.manual_seed(number)
        inside.append(number)
        time.sleep(0.02)
        inside.append(torch.initial_seed())

    threads = [threading.Thread(target=call, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert inside[::2] == inside[1::2]


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='no fork')
def test_a_child_does_not_wait_for_a_thread_that_it_lacks():
    with undisturbed():
        child = multiprocessing.get_context('fork').Process(target=in_a_child)
        thread = threading.Thread(target=lambda: (child.start(), child.join(20)))
        thread.start()
        thread.join()
    assert child.exitcode == 0
    child.kill()


def in_a_child() -> None:
    with undisturbed():
        pass


def test_what_did_not_change_is_left_alone(stock):
    """Only what differs is set: setting threads or limits anew may have a price."""
    before = state()
    with undisturbed():
        pass
    assert state() == before


def test_patches_are_made_again_by_the_next_import(stock):
    with undisturbed():
        Config.fromfile(BASE)
    unpatched = mmengine_config.get_installed_path
    Config.fromfile(BASE)
    assert mmengine_config.get_installed_path is not unpatched
    sys.modules.pop('mmmambamixer.patches').remove()


def test_patches_of_the_caller_stay():
    import mmmambamixer.patches  # noqa: F401

    patched = mmengine_config.get_installed_path
    with undisturbed():
        Config.fromfile(BASE)
    assert mmengine_config.get_installed_path is patched
    assert 'mmmambamixer.patches' in sys.modules


def test_a_hook_of_ours_changes_nothing_of_mmengine(stock):
    """`type='mmmambamixer....'` in the config of any project."""
    from mmengine.registry import HOOKS

    before = state()
    HOOKS.build(dict(type='mmmambamixer.FiniteHook'))
    assert 'mmmambamixer.forecast' in sys.modules
    before['mmloggers'] = ['mmengine']  # its registries log what they build
    assert state() == before


def test_a_forecaster_leaves_no_trace(stock, tmp_path):
    pandas = pytest.importorskip('pandas')
    pytest.importorskip('pyarrow')
    from mmmambamixer.forecast import SeriesForecaster

    dates = pandas.date_range('2026-01-01', periods=120, freq='h')
    values = np.sin(np.arange(240).reshape(120, 2) / 3)
    frame = pandas.DataFrame(values, columns=['a', 'b']).assign(date=dates)
    small = dict(d_model=8, d_state=2, depth=1)
    forecaster = SeriesForecaster(
        look_back=16, horizon=4, epochs=1, model=small, progress=False, max_windows=32
    )
    steps = dict(
        fit=lambda: forecaster.fit(frame),
        predict=forecaster.predict,
        save=lambda: forecaster.save(tmp_path),
        load=lambda: SeriesForecaster.load(tmp_path).predict(frame),
        backtest=lambda: forecaster.backtest(frame, windows=1),
        too_few=lambda: forecaster.fit(frame[:9]),
    )
    init_default_scope('mmengine')
    np.random.rand(), random.random(), torch.rand(1)
    before = state()
    for name, step in steps.items():
        if name == 'too_few':
            with pytest.raises(ValueError, match='too few'):
                step()
        else:
            step()
        after = state()
        changed = {k: (before[k], after[k]) for k in before if after[k] != before[k]}
        assert not changed, name
