"""Checkpoints that go to the disk while they are serialised."""

from collections.abc import Iterator
from contextlib import contextmanager

import mmengine.runner.runner as mmengine_runner
import torch

from .storage import SEALED, write_sealed


@contextmanager
def streamed() -> Iterator[None]:
    """Let MMEngine's runner write to our storage without a copy in memory.

    Its function for it makes all bytes of a checkpoint and then hands them to the
    storage, and there is no argument for another one. In the `with` block the runner
    finds one here that hands them on as they come. Other storage is served as ever.
    """
    stock = mmengine_runner.save_checkpoint

    def save_checkpoint(
        checkpoint: dict,
        filename: str,
        file_client_args: dict | None = None,
        backend_args: dict | None = None,
    ) -> None:
        if (backend_args or {}).get('backend') == SEALED:
            write_sealed(filename, lambda file: torch.save(checkpoint, file))
        else:
            stock(checkpoint, filename, file_client_args, backend_args)

    mmengine_runner.save_checkpoint = save_checkpoint
    try:
        yield
    finally:
        mmengine_runner.save_checkpoint = stock
