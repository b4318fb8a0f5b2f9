"""The handlers of a training do not outlive it.

`tests/torture` shows that they do not reach the processes that it starts.
"""

import signal

import pytest
import toy
from mmengine.runner import Runner

import mmmambamixer.patches  # noqa: F401  (safe loaders)
from mmmambamixer.engine import InterruptionHook
from mmmambamixer.engine.hooks.interruption import SIGNALS, TRAINING


def handlers() -> list:
    return [signal.getsignal(number) for number in SIGNALS]


@pytest.mark.parametrize('runner_type', [toy.SafeRunner, Runner])
@pytest.mark.parametrize('error', [None, ValueError, KeyboardInterrupt, SystemExit])
def test_the_handlers_come_back(error, runner_type, tmp_path):
    def act(runner) -> None:
        assert handlers() != before
        if error and runner.iter == 2:
            raise error

    def other(number, frame) -> None:
        raise AssertionError

    hooks = ()
    if runner_type is Runner:
        kinds = ('InterruptionHook',)
        hooks = tuple(dict(type=f'mmmambamixer.{kind}') for kind in kinds)
    settings = dict(
        epochs=1, hooks=hooks, checkpoint='mmmambamixer.SafeCheckpointHook', act=act
    )
    previous = signal.signal(signal.SIGUSR1, other)
    try:
        before = handlers()
        for _ in range(2):
            if error is None:
                toy.run(tmp_path, runner_type=runner_type, resume=False, **settings)
            else:
                with pytest.raises(error):
                    toy.run(tmp_path, runner_type=runner_type, resume=False, **settings)
            assert handlers() == before and TRAINING == []
    finally:
        signal.signal(signal.SIGUSR1, previous)


def test_no_signal_is_handled_where_none_is_named(tmp_path):
    before = handlers()

    def act(runner) -> None:
        assert handlers() == before

    toy.run(tmp_path, epochs=1, act=act, hooks=(InterruptionHook(signals=()),))
