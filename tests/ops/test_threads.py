"""The compiled ops use as many threads as torch does."""

import time

import pytest
import torch

from mmmambamixer.ops import selective_scan
from mmmambamixer.ops.backend import BINARY_ERROR


@pytest.mark.skipif(BINARY_ERROR is not None, reason='not compiled')
def test_a_scan_works_on_a_second_thread():
    u, A, B = torch.randn(1, 512, 2048), -torch.rand(512, 16), torch.randn(1, 16, 2048)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        selective_scan(u, u, A, B, B, delta_softplus=True)
        whole, own = time.process_time(), time.thread_time()
        for _ in range(5):
            selective_scan(u, u, A, B, B, delta_softplus=True)
        whole, own = time.process_time() - whole, time.thread_time() - own
    finally:
        torch.set_num_threads(threads)
    assert whole > 1.3 * own
