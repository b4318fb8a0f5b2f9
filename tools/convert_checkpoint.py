"""Write the weights of a checkpoint as safetensors, or bring them back.

Usage:
    python tools/convert_checkpoint.py epoch_300.pth vim2.safetensors
    python tools/convert_checkpoint.py vim2.safetensors vim2.pth

One of both names ends with `.safetensors`, the other is a file of `torch.save`. Weights
and `meta` (classes, config, versions) are kept. Optimiser, schedules and logs of a run
are left out, and named: a run goes on from its own checkpoint only.
"""

import argparse
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from mmmambamixer.checkpoints.compare import check_numbers, weights_of
from mmmambamixer.checkpoints.load import load_local
from mmmambamixer.checkpoints.meta import KEY, meta_to_text
from mmmambamixer.checkpoints.storage import write_file, write_sealed
from mmmambamixer.messages import few, one_sentence

KEPT = {'meta', 'state_dict'}
FORMAT = {'format': 'pt'}
"""What other readers look for in the metadata."""


def is_safe(path: Path) -> bool:
    return path.suffix == '.safetensors'


def convert(src: Path, dst: Path) -> str:
    """Write one checkpoint as the other; return what was done, in a line.

    Raises:
        FileNotFoundError: If there is no such file, or no folder for the other.
        ValueError: If not one of both is safetensors; if the file cannot be read or its
            weights are of no use.
    """
    if is_safe(src) == is_safe(dst):
        raise ValueError(
            f'one of both files must end with .safetensors and one must not, got {src} '
            f'and {dst}'
        )
    checkpoint = load_local(src)
    if not dst.absolute().parent.is_dir():
        raise FileNotFoundError(f'there is no folder for {dst}')
    state, meta = weights_of(checkpoint, str(src)), checkpoint.get('meta')
    check_numbers(state, str(src))
    others = [key for key, item in state.items() if not isinstance(item, Tensor)]
    if others:
        raise ValueError(
            f'{src} cannot be converted: {few(others)} of its state_dict are no tensors'
        )
    state = {str(key): item.contiguous().clone() for key, item in state.items()}
    if is_safe(dst):
        write_file(dst, save(state, FORMAT | text_of(meta, src)))
    else:
        whole = (
            dict(state_dict=state)
            if meta is None
            else dict(meta=meta, state_dict=state)
        )
        write_sealed(dst, lambda file: torch.save(whole, file))
    left = (
        sorted(map(str, checkpoint.keys() - KEPT)) if 'state_dict' in checkpoint else ()
    )
    return (
        f'{src} -> {dst}: {len(state)} tensors{"" if meta is None else " and meta"}'
        + (f'; left out: {few(left)}' if left else '')
    )


def text_of(meta: dict | None, src: Path) -> dict[str, str]:
    """Return the metadata of a safetensors file for a checkpoint's `meta`, if any."""
    try:
        return {} if meta is None else {KEY: meta_to_text(meta)}
    except ValueError as error:
        raise ValueError(f'{src} cannot be converted: {error}') from error


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('src', type=Path, help='checkpoint to read')
    parser.add_argument('dst', type=Path, help='file to write')
    args = parser.parse_args(arguments)
    with one_sentence():
        line = convert(args.src, args.dst)
    print(line)


if __name__ == '__main__':
    main()
