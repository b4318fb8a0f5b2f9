"""The device that a tool computes on."""

import argparse

import torch


def add_device(parser: argparse.ArgumentParser) -> None:
    """Give a parser `--device`: a GPU where torch sees one."""
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    parser.add_argument('--device', default=device)


def check_device(name: str) -> None:
    """Raise ValueError unless torch can compute on a device."""
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(
            f'the device must be cpu, cuda or one GPU such as cuda:1, got {name}'
        ) from error
    if device.type == 'meta':
        raise ValueError('the device meta cannot compute: take cpu or cuda')
    if device.type != 'cuda':
        return
    if not torch.cuda.is_available():
        raise ValueError(f'there is no device {name}, torch sees no GPU here: take cpu')
    if (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f'torch sees {torch.cuda.device_count()} GPUs, so there is no device {name}'
        )
