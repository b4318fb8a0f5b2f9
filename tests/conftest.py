"""What holds for every test: fixed seeds, and memory that is NaN until written."""

import random
import sys

import numpy as np
import pytest
import torch


@pytest.fixture(autouse=True)
def fixed_seeds():
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture
def own_files_are_trusted(monkeypatch):
    """Let torch before 2.10 read the `.pth` files of a test, which it refuses else."""
    if torch.__version__ < (2, 10):
        monkeypatch.setenv('MMMAMBAMIXER_UNPICKLE', '1')


@pytest.fixture(autouse=True)
def no_default_scope(monkeypatch):
    """As in a new process: without the scope that another test's run has left."""
    registry = sys.modules.get('mmengine.registry')
    if registry is not None:  # else no test has used one, or there is no MMEngine
        scopes = type(registry.DefaultScope._instance_dict)()
        monkeypatch.setattr(registry.DefaultScope, '_instance_dict', scopes)


@pytest.fixture(autouse=True)
def poisoned_memory():
    """Fill `torch.empty` with NaN; ops without a deterministic form only warn."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)
