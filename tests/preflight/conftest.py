"""What the checks before a run say of a toy run."""

import logging

import pytest
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from toy_run import ToyRun

from mmmambamixer.engine.data import open_data


@pytest.fixture
def said():
    """What is logged from WARNING on."""
    lines, handler = [], logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(record.getMessage())
    handler.addFilter(lambda record: 'prefix is not set' not in record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)


@pytest.fixture
def opened(said):
    """Open a toy run's data; return what is said: a refusal, else the warnings."""

    def opened(
        scope: str, heads: dict, evaluator=(), meta=None, anew=False, **datasets
    ) -> str:
        said.clear()
        with DefaultScope.overwrite_default_scope(scope):
            run = ToyRun(scope, heads, evaluator, **datasets)
            try:
                open_data(run, *datasets, meta=meta, path='x.pth', anew=anew)
            except ValueError as error:
                return f'error: {error}'
        return '\n'.join(said)

    return opened
