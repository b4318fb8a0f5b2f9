"""Commit one fault on purpose, in the sanitizer build of the ops.

    python tests/torture/canaries.py read | overflow | stride

`sanitize.py` runs it: a sanitizer that is on ends the process with a report.
"""

import ctypes
import sys

import numpy
import torch
from numpy.lib.stride_tricks import as_strided

from mmmambamixer.ops import selective_scan
from mmmambamixer.ops.backend import BINARY
from mmmambamixer.ops.testing import scan_inputs


def read() -> None:
    """Read past the end of heap memory."""
    ctypes.CDLL(BINARY).read_past_the_end(ctypes.c_int64(8))


def overflow() -> None:
    """Overflow a signed integer."""
    ctypes.CDLL(BINARY).overflow(ctypes.c_int32(2**31 - 1))


def stride() -> None:
    """Feed the scan kernel an input whose strides lead out of its memory.

    PyTorch looks at strides where it makes them; NumPy does not.
    """
    inputs = scan_inputs(1, 16, 64, 1)
    memory = numpy.zeros(16 * 64, numpy.float32)
    too_far = as_strided(memory, (1, 16, 64), (4, 65 * 4, 4))
    selective_scan(**inputs | dict(u=torch.from_numpy(too_far)))


if __name__ == '__main__':
    torch.set_num_threads(1)
    dict(read=read, overflow=overflow, stride=stride)[sys.argv[1]]()
    print('still alive')
