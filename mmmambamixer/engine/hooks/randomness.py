"""Random numbers that depend on where a run is, not on how it came there."""

import random

import numpy as np
import torch


def seed_all(*place: int) -> None:
    """Seed Python, NumPy and torch, on every device, from whole numbers.

    Args:
        *place: Such as seed, rank and iteration; each place has numbers of its own.
    """
    words = np.random.SeedSequence(place).generate_state(4)
    random.seed(int(words[0]))
    np.random.seed(words[1:3])
    torch.manual_seed(int(words[3]))
