"""Import the package and run it in environments that lack something.

`python environments.py FOLDER` reads an environment per line from standard input, as
JSON: `name`, `without` (modules that are not to be found) and `package` (the folder
below FOLDER that holds the package). It writes what happened, one line of JSON each.
What takes long to import is imported once; each environment is a fork of that process.
"""

import json
import os
import sys
import warnings
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path

import torch


class Without:
    """Find modules as Python does, but for some and for editable installs."""

    def __init__(self, names: list[str]) -> None:
        self.names = tuple(f'{name}.' for name in names)
        self.others = [f for f in sys.meta_path if 'Editable' not in str(f)]
        for name in [n for n in sys.modules if f'{n}.'.startswith(self.names)]:
            del sys.modules[name]

    def find_spec(self, name, path=None, target=None):
        if f'{name}.'.startswith(self.names):
            return None
        specs = (f.find_spec(name, path, target) for f in self.others)
        return next((spec for spec in specs if spec), None)

    find_distributions = staticmethod(PathFinder.find_distributions)


def look(package: Path, without: list[str]) -> dict:
    """Return what an import of the package says and what its backbone computes."""
    sys.meta_path[:] = [Without(without)]
    sys.path.insert(0, str(package))
    facts = {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        try:
            import mmmambamixer
            import mmmambamixer.ops
        except ImportError as error:
            return {'error': str(error)}
        facts['at import'] = messages(caught)
    facts['file'] = mmmambamixer.ops.__file__
    facts['backends'] = mmmambamixer.ops.available_backends()

    torch.manual_seed(0)
    arch = dict(embed_dims=(8, 16), depths=(1, 1))
    model = mmmambamixer.ViM2(arch=arch, out_indices=(1,)).eval()
    image = torch.randn(1, 3, 24, 17)
    with warnings.catch_warnings(record=True) as caught, torch.no_grad():
        warnings.simplefilter('default')
        (features,) = model(image)
        facts['at the first call'] = messages(caught)
    facts['features'] = features.flatten().tolist()
    facts['loaded'] = sorted({m.split('.')[0] for m in sys.modules})
    return facts


def messages(caught: list) -> list[str]:
    """Return the texts of our warnings."""
    return [str(w.message) for w in caught if 'mmmambamixer' in str(w.message)]


def main() -> None:
    folder = Path(sys.argv[1])
    for name in ('triton', 'mmengine.model'):
        if find_spec(name):
            import_module(name)
    torch.set_num_threads(1)
    for line in sys.stdin:
        task = json.loads(line)
        sys.stdout.flush()
        child = os.fork()
        if not child:
            facts = look(folder / task['package'], task['without'])
            print(json.dumps({'name': task['name']} | facts), flush=True)
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            print(json.dumps({'name': task['name'], 'error': 'crashed'}))


if __name__ == '__main__':
    main()
