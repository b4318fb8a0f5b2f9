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
            'exactly one of the two files must end in .safetensors, got '
            f'{src} and {dst}'
        )
    checkpoint = load_local(src, 'cpu')
    if not dst.absolute().parent.is_dir():
        raise FileNotFoundError(f'there is no folder for {dst}')
    state = weights_of(checkpoint, str(src))
    check_numbers(state, str(src))
    others = [key for key, item in state.items() if not isinstance(item, Tensor)]
    if others:
        raise ValueError(
            f'{src} cannot be converted: {few(others)} of its state_dict '
            'must be tensors'
        )
    state = {str(key): item.contiguous().clone() for key, item in state.items()}
    whole = checkpoint if 'state_dict' in checkpoint else {}
    said = {key: whole[key] for key in whole.keys() & {'meta'}}
    left = sorted(map(str, whole.keys() - {'meta', 'state_dict'}))
    if is_safe(dst):
        write_file(dst, save(state, FORMAT | as_text(said, src)))
    else:
        parts = said | dict(state_dict=state)
        write_sealed(dst, lambda file: torch.save(parts, file))
    kept = ' and '.join([f'{len(state)} tensors', *said])
    return f'{src} -> {dst}: {kept}' + (f'; left out: {few(left)}' if left else '')


def as_text(said: dict, src: Path) -> dict[str, str]:
    """Return the metadata of a safetensors file that holds `meta`, if there is one."""
    try:
        return {KEY: meta_to_text(said['meta'])} if said else {}
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
