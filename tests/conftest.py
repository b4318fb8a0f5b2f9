"""What holds for every test: fixed seeds, and memory that is NaN until written."""

import gc
import random
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import torch


@pytest.fixture(autouse=True)
def fixed_seeds():
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


imported = 0


@pytest.fixture(autouse=True)
def imports_are_no_garbage():
    """Let the collector pass over what was imported: each data set calls it, 0.5 s."""
    global imported
    if len(sys.modules) > imported + 20:
        gc.collect()
        gc.freeze()
        imported = len(sys.modules)


@pytest.fixture(autouse=True)
def configs_are_not_formatted(monkeypatch):
    """Leave out the formatter of MMEngine's config files, 0.7 s for each of them."""
    module = sys.modules.get('mmengine.config.config')
    if module is not None:
        monkeypatch.setattr(module, 'FormatCode', lambda text, **_: (text, True))


@pytest.fixture
def own_files_are_trusted(monkeypatch):
    """Let torch before 2.10 read the `.pth` files of a test, which it refuses else."""
    if torch.__version__ < (2, 10):
        monkeypatch.setenv('MMMAMBAMIXER_UNPICKLE', '1')


@pytest.fixture(autouse=True)
def nothing_of_other_runs(monkeypatch):
    """As in a new process: no scope, logger, visualizer or message hub of another test.

    MMEngine finds them by name, which for two runs of one second is the same. What is
    returned forgets those of this test, too.
    """

    def forget() -> None:
        manager = sys.modules.get('mmengine.utils.manager')
        if manager is not None:  # else no test has used one, or there is no MMEngine
            for kind in subclasses(manager.ManagerMixin):
                monkeypatch.setattr(kind, '_instance_dict', type(kind._instance_dict)())

    forget()
    return forget


def subclasses(kind: type) -> Iterator[type]:
    for below in kind.__subclasses__():
        yield below
        yield from subclasses(below)


@pytest.fixture(autouse=True)
def poisoned_memory():
    """Fill `torch.empty` with NaN; ops without a deterministic form only warn."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)
