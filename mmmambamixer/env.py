"""Print what runs here and why: `python -m mmmambamixer.env`.

What does not fit together is told with the command that mends it. With `--check` also
run each op and a training step on every device there is, against the reference in fp64,
a line each. The exit status is 1 if anything is wrong.
"""

import argparse
import functools
import importlib
import platform
import sys

from .faults import find_faults, has_gpu, installed

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
PARTS = (
    'cv2',
    'pycocotools.mask',
    'mmcv.ops',
    *(f'{name}.{part}' for name in PACKAGES[-3:] for part in ('models', 'datasets')),
)
"""What a run imports of them; told only where it does not import."""


@functools.cache  # some that fail at first are found half imported by a second try
def try_import(module: str) -> str | None:
    """Return why a module cannot be imported, or None."""
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        absent = error.name in (module, module.partition('.')[0])
        return 'not installed' if absent else str(error)
    except Exception as error:  # a framework refuses versions with assertions
        return f'{type(error).__name__}: {error}'
    return None


def version_of(package: str) -> str:
    """Return the version of a package as imported, or why it is not to be had."""
    error = try_import(package)
    if error is None:
        return str(sys.modules[package].__version__)
    return error if error == 'not installed' else f'does not import: {error}'


def environment_faults() -> list[str]:
    """Return what does not fit together here, see `faults.find_faults`."""
    import torch

    tried = {module: try_import(module) for module in (*PACKAGES, *PARTS)}
    absent = (None, 'not installed')
    errors = {module: text for module, text in tried.items() if text not in absent}
    return find_faults(installed(), errors, has_gpu(), torch.version.cuda)


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
    for part in PARTS:
        if try_import(part) not in (None, 'not installed'):
            facts[part] = f'does not import: {try_import(part)}'
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
    faults = environment_faults()
    for fault in faults:
        print(f'\nFault: {fault}.')
    if not check_too:
        return 1 if faults else 0
    from .check_ops import check

    print()
    return 0 if check() and not faults else 1


if __name__ == '__main__':
    sys.exit(main())
