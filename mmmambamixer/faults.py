"""What does not fit together in a Python environment, and the command that mends it.

`python -m mmmambamixer.env` prints it, an import of this package that fails says it.
Needs the standard library only: anything else may be what is broken.
"""

import glob
import re
from collections.abc import Iterator, Mapping
from importlib.metadata import distributions

FAMILIES = {
    'mmengine': 'onedl-mmengine',
    'mmcv': 'onedl-mmcv',
    'mmdet': 'onedl-mmdetection',
    'mmsegmentation': 'onedl-mmsegmentation',
    'mmpretrain': 'onedl-mmpretrain',
}
"""Distributions of OpenMMLab, and those of the other family with the same files."""

REFUSE_MMCV = {'mmdet': (3, 3, 1), 'mmsegmentation': (1, 2, 3)}
"""The frameworks that need mmcv with its ops; releases before these refuse mmcv 2.2."""
MMCV = 'MMCV_WITH_OPS=1 pip install --no-build-isolation --no-binary mmcv'
DISTRIBUTIONS = {
    'cv2': 'opencv-python-headless',
    'mmseg': 'mmsegmentation',
    'PIL': 'pillow',
    'imgaug': 'imaug',
    'sklearn': 'scikit-learn',
    'skimage': 'scikit-image',
    'yaml': 'pyyaml',
}
"""Distributions whose name is not that of the module they bring."""
PURE = ('mmengine', 'mmpretrain', 'mmdet', 'mmseg')
"""Modules without binaries: one that fails for a binary has imported another's."""


def installed() -> dict[str, str]:
    """Return the versions of the installed distributions, by normalised name."""
    found: dict[str, str] = {}
    for distribution in distributions():  # in the order in which imports look
        name = distribution.metadata['Name'] or ''
        found.setdefault(re.sub(r'[-_.]+', '-', name).lower(), distribution.version)
    return found


def find_faults(
    versions: Mapping[str, str],
    errors: Mapping[str, str],
    gpu: bool = False,
    cuda: str | None = None,
) -> list[str]:
    """Return a sentence for each fault, with the command that mends it.

    Args:
        versions: Versions of the installed distributions, as `installed` returns them.
        errors: What the import of a module said, for those that fail.
        gpu: Whether the machine has an NVIDIA GPU, see `has_gpu`.
        cuda: Version of CUDA that torch is built for, if torch imports.
    """
    return [
        *mixed_families(versions),
        *versions_of_torch(versions, errors, gpu, cuda),
        *versions_of_mmcv(versions, errors),
        *other_versions(versions),
        *broken_files(versions, errors),
        *missing_modules(errors),
    ]


def mixed_families(versions: Mapping[str, str]) -> Iterator[str]:
    """Both families, or two builds of mmcv: they write the same files."""
    here = [name for name in FAMILIES if name in versions]
    others = [name for name in FAMILIES.values() if name in versions]
    if here and others:
        yield (
            f'two families that write the same files are installed, {", ".join(here)} '
            f'and {", ".join(others)}: remove both with `pip uninstall -y '
            f'{" ".join(here + others)}` and install one, `mmmambamixer[openmmlab]` or '
            '`mmmambamixer[onedl]`'
        )
    elif 'mmcv' in versions and 'mmcv-lite' in versions:
        yield (
            'mmcv and mmcv-lite write the same files: remove both with `pip uninstall '
            f'-y mmcv mmcv-lite` and install the one with ops, `{MMCV} mmcv==2.1.0`'
        )


def versions_of_torch(
    versions: Mapping[str, str],
    errors: Mapping[str, str],
    gpu: bool,
    cuda: str | None,
) -> Iterator[str]:
    """Torch, and what is built for one version of it."""
    torch = versions.get('torch')
    if torch and before(torch, 2, 8):
        yield f'torch {torch} is too old: `pip install "torch>=2.8"`'
    if torch and gpu and not cuda and 'torch' not in errors:
        yield (
            f'there is an NVIDIA GPU, and torch {torch} is built without CUDA: install '
            'a CUDA build, `pip install --force-reinstall torch torchvision` with the '
            'index that pytorch.org names for it'
        )
    if 'torchvision' in versions and re.search(
        'torchvision::nms|undefined symbol', errors.get('torchvision', '')
    ):
        yield (
            f'torchvision {versions["torchvision"]} is built for another torch than '
            f'{torch}: `pip install --force-reinstall --no-deps '
            f'torchvision=={torchvision_for(torch)}`, from the index that torch is from'
        )
    triton = versions.get('triton')
    if triton and before(triton, 3, 4):
        yield (
            f'Triton {triton} is too old, the GPU kernels need 3.4 or later, which '
            'torch 2.8 brings: `pip install "torch>=2.8"`'
        )
    elif gpu and cuda and not triton:
        yield 'Triton is missing, which runs the ops on the GPU: `pip install triton`'


def torchvision_for(torch: str) -> str:
    """Return the version of torchvision that was released with one of torch 2."""
    return f'0.{numbers(torch)[1] + 15}.*'


def versions_of_mmcv(
    versions: Mapping[str, str], errors: Mapping[str, str]
) -> Iterator[str]:
    """mmcv without its ops, of a version that is refused, or for another torch."""
    users = [name for name in REFUSE_MMCV if name in versions]
    mmcv, error = versions.get('mmcv'), errors.get('mmcv.ops', '')
    if users and 'mmcv-lite' in versions and not mmcv:
        yield (
            f'mmcv-lite lacks the ops that {" and ".join(users)} need: `pip uninstall '
            f'-y mmcv-lite`, then `{MMCV} mmcv==2.1.0`'
        )
        return
    refuse = [
        f'{name} {versions[name]}'
        for name in users
        if before(versions[name], *REFUSE_MMCV[name])
    ]
    if refuse and mmcv and not before(mmcv, 2, 2):
        yield (
            f'{" and ".join(refuse)} refuse mmcv {mmcv}, they need one below 2.2.0: '
            f'`{MMCV} mmcv==2.1.0`'
        )
    elif mmcv and re.search("'mmcv._ext'|undefined symbol", error):
        without = "'mmcv._ext'" in error
        yield (
            f'mmcv {mmcv} is {"without its ops" if without else "for another torch"}: '
            f'`{MMCV} --force-reinstall --no-deps --no-cache-dir mmcv=={mmcv}`'
        )


def other_versions(versions: Mapping[str, str]) -> Iterator[str]:
    """Versions that are known to break the frameworks."""
    mmengine = versions.get('mmengine')
    if mmengine and before(mmengine, 0, 10, 3):
        yield (
            f'mmengine {mmengine} is too old: `pip install --no-deps '
            '"mmengine>=0.10.3,<1"`'  # it would bring the OpenCV of a desktop
        )
    setuptools = versions.get('setuptools')
    if mmengine and (not setuptools or not before(setuptools, 82)):
        which = f'setuptools {setuptools}' if setuptools else 'this environment'
        yield (
            f'{which} lacks pkg_resources, which mmengine {mmengine} needs: `pip '
            'install "setuptools<82"`'
        )
    transformers = versions.get('transformers')
    if transformers and 'mmpretrain' in versions and not before(transformers, 4, 52):
        yield (
            f'transformers {transformers} breaks the import of mmpretrain '
            f'{versions["mmpretrain"]}, and with it mmdet and mmseg: `pip uninstall -y '
            'transformers` or `pip install "transformers<4.52"`'
        )
    if 'mmseg' in versions:
        yield (
            f'mmseg {versions["mmseg"]} is a word segmenter, not mmsegmentation: `pip '
            'uninstall -y mmseg`, then `pip install --force-reinstall --no-deps '
            'mmsegmentation`'
        )


def broken_files(
    versions: Mapping[str, str], errors: Mapping[str, str]
) -> Iterator[str]:
    """Binaries that lack a library or were built for another numpy."""
    texts = ' '.join(errors.values())
    if 'libGL.so' in texts or 'libgthread' in texts:
        windows = [
            n for n in ('opencv-python', 'opencv-contrib-python') if n in versions
        ]
        yield (
            'OpenCV needs libraries of a desktop that are missing here (libGL.so.1): '
            f'`pip uninstall -y {" ".join(windows) or "opencv-python"}`, then `pip '
            'install --force-reinstall --no-deps opencv-python-headless`; or on Debian '
            '`apt install libgl1 libglib2.0-0`'
        )
    other = 'numpy.*(multiarray|dtype size)|compiled using NumPy'
    failing = [m for m, text in errors.items() if re.search(other, text, re.I)]
    binaries = [m for m in failing if m.partition('.')[0] not in PURE]
    for module in binaries or failing[:1]:
        name = DISTRIBUTIONS.get(module, module.partition('.')[0])
        told = name if binaries else f'what {module} imports'
        yield (
            f'{told} is built for another numpy than {versions.get("numpy")}: `pip '
            'install --force-reinstall --no-deps --no-cache-dir '
            + (f'{name}`' if binaries else f'NAME` of what `import {module}` ends in')
        )


def missing_modules(errors: Mapping[str, str]) -> Iterator[str]:
    """What a package imports and its metadata does not ask for."""
    users: dict[str, list[str]] = {}
    for module, text in errors.items():
        match = re.search(r"No module named '(\w+)'", text)
        if match and match[1] != module:
            users.setdefault(match[1], []).append(module)
    users.pop('pkg_resources', None)  # a version of setuptools is the fault
    for missing, names in users.items():
        name = DISTRIBUTIONS.get(missing, missing)
        command = f'{MMCV} mmcv==2.1.0' if missing == 'mmcv' else f'pip install {name}'
        yield f'{" and ".join(names)} cannot be imported without {missing}: `{command}`'


def before(version: str, *limit: int) -> bool:
    """Return whether a version is below a limit."""
    return tuple(numbers(version)[: len(limit)]) < limit


def numbers(version: str) -> list[int]:
    return [int(n) for n in re.findall(r'\d+', version.partition('+')[0])]


def has_gpu() -> bool:
    """Return whether the machine has an NVIDIA GPU with a driver, on Linux."""
    return bool(glob.glob('/dev/nvidia[0-9]*'))
