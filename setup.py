"""Build of the package: `ops/` is installed as `mmmambamixer.ops`."""

import os
from glob import glob

from setuptools import find_packages, setup

OPS = ['mmmambamixer.ops'] + [f'mmmambamixer.ops.{p}' for p in find_packages('ops')]
kwargs = {}
if os.environ.get('MMMAMBAMIXER_NO_EXT') != '1':
    from torch.utils.cpp_extension import BuildExtension, CppExtension

    extension = CppExtension(
        'mmmambamixer.ops._C',
        ['ops/bindings.cpp', *sorted(glob('ops/*/cpu*.cpp'))],
        extra_compile_args=['-O3', '-std=c++17'],
    )
    kwargs = dict(cmdclass={'build_ext': BuildExtension}, ext_modules=[extension])
setup(
    packages=find_packages(include=['mmmambamixer', 'mmmambamixer.*']) + OPS,
    package_dir={'mmmambamixer.ops': 'ops'},
    **kwargs,
)
