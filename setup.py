"""Build of the package: `ops/` becomes `mmmambamixer.ops`, configs and tools `.mim`.

`pip install -e . --no-build-isolation` compiles the CPU kernels against the torch that
is installed. `MMMAMBAMIXER_NO_EXT=1` leaves them out: the ops then run their slow
PyTorch reference and say so.
"""

import os
import shlex
import shutil
from glob import glob

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

OPS = ['mmmambamixer.ops'] + [f'mmmambamixer.ops.{p}' for p in find_packages('ops')]
MIM = ['configs', 'tools', 'model-index.yml']
"""What OpenMMLab looks for in a package's `.mim` folder."""
NO_EXT = 'MMMAMBAMIXER_NO_EXT=1 installs without the compiled kernels'


class BuildPyWithMim(build_py):
    """Put configs, tools and the model index into `mmmambamixer/.mim`.

    A wheel gets copies, an editable install links into the checkout (git ignores them).
    """

    def run(self):
        super().run()
        root = '' if self.editable_mode else self.build_lib
        folder = os.path.join(root, 'mmmambamixer', '.mim')
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        for name in MIM:
            self.place(name, os.path.join(folder, name))

    def place(self, source, target):
        if self.editable_mode:
            os.symlink(os.path.join('..', '..', source), target)
        elif os.path.isdir(source):
            ignored = shutil.ignore_patterns('__pycache__', '*.pyc')
            shutil.copytree(source, target, ignore=ignored)
        else:
            shutil.copy2(source, target)


def extension():
    """Return the setup arguments that compile `mmmambamixer.ops._C`."""
    try:
        import torch
        from torch.utils.cpp_extension import BuildExtension, CppExtension
    except ModuleNotFoundError as error:
        raise SystemExit(
            'mmmambamixer compiles against the torch you run: install torch first, '
            f'then `pip install --no-build-isolation .` ({NO_EXT})'
        ) from error

    class BuildKernels(BuildExtension):
        """Compile, and write beside the binary which torch it is for."""

        def run(self):
            need_compiler()
            super().run()
            binary = self.get_ext_fullpath('mmmambamixer.ops._C')
            record = os.path.join(os.path.dirname(binary), '_C.built_for')
            with open(record, 'w') as file:
                file.write(torch.__version__ + '\n')

    kernels = CppExtension(
        'mmmambamixer.ops._C',
        ['ops/bindings.cpp', *sorted(glob('ops/*/cpu*.cpp'))],
        depends=sorted(glob('ops/**/*.h', recursive=True)),
        extra_compile_args=['-O3', '-g0', '-fopenmp', *without_paths(torch)],
    )
    return dict(cmdclass={'build_ext': BuildKernels}, ext_modules=[kernels])


def need_compiler():
    """Stop in one sentence where there is nothing to compile with."""
    compiler = shlex.split(os.environ.get('CXX') or 'c++')[0]  # what torch takes
    if shutil.which(compiler) is None:
        raise SystemExit(
            f'mmmambamixer compiles its CPU kernels and there is no {compiler!r} on '
            f'PATH: install g++ (Debian: apt install g++) or set CXX ({NO_EXT})'
        )


def without_paths(torch):
    """Return options that keep this machine's folders out of the binary.

    Messages of `TORCH_CHECK` carry the path of their source. The last match counts,
    and torch may lie in a `.venv` in here.
    """
    here, there = os.path.abspath('.'), os.path.dirname(torch.__file__)
    return [f'-ffile-prefix-map={here}=.', f'-ffile-prefix-map={there}=torch']


kwargs = {} if os.environ.get('MMMAMBAMIXER_NO_EXT') == '1' else extension()
kwargs['cmdclass'] = dict(kwargs.get('cmdclass', {}), build_py=BuildPyWithMim)
setup(
    packages=find_packages(include=['mmmambamixer', 'mmmambamixer.*']) + OPS,
    package_dir={'mmmambamixer.ops': 'ops'},
    **kwargs,
)
