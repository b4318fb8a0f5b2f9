"""Print what runs here and why: `python -m mmmambamixer.env`.

With `--check` also run each op and a training step on every device there is, against
the reference in fp64, a line each; the exit status is 1 if any is wrong.
"""

import argparse
import importlib
import platform
import sys

PACKAGES = (
    'torch',
    'torchvision',
    'triton',
    'numpy',
    'mmengine',
    'mmcv',
    'mmpretrain',
    'mmdet',
    'mmseg',
)


def version_of(package: str) -> str:
    """Return the version of a package as imported, or why it is not to be had."""
    try:
        return str(importlib.import_module(package).__version__)
    except ModuleNotFoundError as error:
        if error.name == package:
            return 'not installed'
        return f'does not import: {error}'
    except Exception as error:  # a framework refuses versions with assertions
        return f'does not import: {type(error).__name__}: {error}'


def describe() -> dict[str, str]:
    """Return versions, hardware and the backend of the ops, as name and text."""
    import torch

    from . import __version__
    from .checkpoints.trust import risk
    from .ops import available_backends
    from .ops.backend import BINARY_ERROR

    facts = {'mmmambamixer': __version__, 'python': sys.version.split()[0]}
    facts |= {package: version_of(package) for package in PACKAGES}
    facts['torch'] += f' ({risk()})' if risk() else ''
    facts['platform'] = f'{platform.system()} {platform.machine()}'
    facts['CPU capability'] = torch.backends.cpu.get_cpu_capability()
    facts['threads'] = str(torch.get_num_threads())
    facts['GPU'] = gpu()
    facts['compiled kernels'] = (
        'present' if BINARY_ERROR is None else f'missing: {BINARY_ERROR}'
    )
    for device, backend in available_backends().items():
        facts[f'ops on {device}'] = backend
    return facts


def gpu() -> str:
    """Return the names of the GPUs that torch sees."""
    import torch

    if not torch.cuda.is_available():
        return f'none (torch is built for CUDA {torch.version.cuda or "no version"})'
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return f'{", ".join(names)} (CUDA {torch.version.cuda})'


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog='python -m mmmambamixer.env', description='Print what runs here and why.'
    )
    parser.add_argument(
        '--check',
        action='store_true',
        help='run each op and a training step on every device against the reference',
    )
    check_too = parser.parse_args(arguments).check
    facts = describe()
    width = max(map(len, facts))
    for name, text in facts.items():
        print(f'{name:<{width}}  {text}')
    if not check_too:
        return 0
    from .check_ops import check

    print()
    return 0 if check() else 1


if __name__ == '__main__':
    sys.exit(main())
