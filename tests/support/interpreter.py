"""Triton's interpreter, in which the GPU's kernels run on CPU tensors."""

import numpy
import pytest
from torch.torch_version import TorchVersion


def interpreter() -> dict[str, str]:
    """Return the variable that starts it; skip the test where it cannot run.

    Triton before 3.7 makes the computed bound of a loop, an array of one number, an
    integer in a way that NumPy refuses from 2.4 on.
    """
    triton = pytest.importorskip('triton').__version__
    if TorchVersion(triton) < (3, 7) and TorchVersion(numpy.__version__) >= (2, 4):
        pytest.skip(
            'the interpreter needs Triton >= 3.7 or NumPy < 2.4, got '
            f'{triton} and {numpy.__version__}'
        )
    return {'TRITON_INTERPRET': '1'}
