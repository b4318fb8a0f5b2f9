"""Build the page that runs the demos' networks in a browser: static files in a folder.

    python tools/make_web.py
    python tools/make_web.py --digits work_dirs/demo/epoch_36.pth --out site

Exports the digits classifier and the segmenter of scenes from checkpoints of
`make demo` and `make demo-seg`, gets onnxruntime-web's WebAssembly build with npm and
puts both beside the files of docs/web. Any server of plain files can serve the folder:

    python -m http.server --directory docs/_build/web

See docs/browser.md.
"""

import argparse
import gzip
import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
from base64 import b64encode
from itertools import islice
from pathlib import Path

import mmmambamixer.patches  # noqa: F401  (safe checkpoints)
from mmmambamixer.engine.config import load_config
from mmmambamixer.export.job import Options, export
from mmmambamixer.messages import one_sentence

ROOT = Path(__file__).parents[1]
PAGE = ROOT / 'docs' / 'web'
RUNTIME = '1.30.0'
INTEGRITY = (
    'q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfK'
    'YQ=='
)
"""SHA-512 of the package, base64, as npm tells it."""
SCRIPT = 'package/dist/ort.wasm.bundle.min.mjs'
BINARY = 'package/dist/ort-wasm-simd-threaded.wasm'
NETWORKS = {
    'digits': ('configs/demo/vim2_digits.py', 'make demo'),
    'scenes': ('configs/demo/upernet_vim2_scenes.py', 'make demo-seg'),
}
"""Config of each network, and what trains it."""
SAMPLES = {'digits': 'digits/test/*/*.png', 'scenes': 'crowded_scenes/test/*.png'}
SHOWN = {'digits': 10, 'scenes': 4}
FACTS = ('classes', 'palette', 'selection')
"""Of a file's metadata, which the runtime does not show to a page."""


def find_checkpoint(path: Path, name: str) -> Path:
    """Return a checkpoint, the last one of a training if its folder is given."""
    if path.is_dir() and (path / 'last_checkpoint').is_file():
        path = path / Path((path / 'last_checkpoint').read_text().strip()).name
    if not path.is_file():
        raise FileNotFoundError(
            f'there is no checkpoint for --{name} at {path}: train one with '
            f'`{NETWORKS[name][1]}`, or name a checkpoint or the folder of a training'
        )
    return path


def fetch_package(folder: Path) -> Path:
    """Fetch onnxruntime-web with npm into a folder; return the archive."""
    wanted = f'onnxruntime-web@{RUNTIME}'
    command = ['npm', 'pack', wanted, '--silent', '--pack-destination', str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    except FileNotFoundError:
        raise RuntimeError(
            f'npm, which fetches {wanted}, is not installed: install it, or give the '
            'archive that `npm pack` wrote elsewhere with --package'
        ) from None
    found = list(folder.glob('*.tgz'))
    if done.returncode or not found:
        reason = ' '.join(done.stderr.split())[:200]
        raise RuntimeError(
            f'npm cannot fetch {wanted} ({reason}); where there is no network, give '
            'the archive that `npm pack` wrote elsewhere with --package'
        )
    return found[0]


def unpack_runtime(package: Path, out: Path) -> None:
    """Write the runtime's script and its binary, packed, into a folder.

    Raises:
        ValueError: If the archive is not the one that was pinned.
    """
    digest = b64encode(hashlib.sha512(package.read_bytes()).digest()).decode()
    if digest != INTEGRITY:
        raise ValueError(
            f'{package} is not onnxruntime-web {RUNTIME}: its SHA-512 is {digest}, '
            f'expected {INTEGRITY}; get it with `npm pack onnxruntime-web@{RUNTIME}`'
        )
    with tarfile.open(package) as archive:
        script, binary = (archive.extractfile(n).read() for n in (SCRIPT, BINARY))
    (out / Path(SCRIPT).name).write_bytes(script)
    (out / 'ort.wasm.gz').write_bytes(gzip.compress(binary, mtime=0))


def copy_licences(out: Path) -> None:
    """Write the licence of ONNX Runtime and its notices; the npm package has none."""
    import onnxruntime

    source = Path(onnxruntime.__file__).parent
    out.mkdir()
    shutil.copyfile(source / 'LICENSE', out / 'onnxruntime.txt')
    notices = out / 'onnxruntime_third_party.txt'
    shutil.copyfile(source / 'ThirdPartyNotices.txt', notices)


def export_network(name: str, checkpoint: Path, out: Path) -> dict:
    """Export a network into a folder; return what the page has to know of it."""
    import onnx

    path = out / f'{name}.onnx'
    options = Options(dynamic=True, prepared=True, selection=True)
    config = load_config(str(ROOT / NETWORKS[name][0]))
    first, *lines = export(config, str(checkpoint), path, options)
    print(first.removeprefix(f'{out}/'), *lines, sep='\n')
    known = {p.key: p.value for p in onnx.load(path).metadata_props}
    facts = {fact: json.loads(known[fact]) for fact in FACTS if fact in known}
    return dict(file=path.name, **facts)


def copy_samples(name: str, data: Path, out: Path) -> list[str]:
    """Copy some test pictures, of each folder in turn; return their places."""
    folders = {}
    for path in sorted(data.glob(SAMPLES[name])):
        folders.setdefault(path.parent, []).append(path)
    in_turn = (path for turn in zip(*folders.values(), strict=False) for path in turn)
    places = []
    for path in islice(in_turn, SHOWN[name]):
        place = f'samples/{name}_{path.parent.name}_{path.name}'
        shutil.copyfile(path, out / place)
        places.append(place)
    if not places:
        print(f'note: no pictures at {data / SAMPLES[name]}: none are offered to try')
    return places


def assemble(args: argparse.Namespace, checkpoints: dict[str, Path], out: Path) -> None:
    """Write all files of the page into an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        unpack_runtime(args.package or fetch_package(Path(folder)), out)
    for path in sorted(PAGE.iterdir()):
        shutil.copyfile(path, out / path.name)
    copy_licences(out / 'licenses')
    (out / 'samples').mkdir()
    site = dict(
        runtime=RUNTIME,
        samples={name: copy_samples(name, args.data, out) for name in NETWORKS},
    )
    for name, checkpoint in checkpoints.items():
        site[name] = export_network(name, checkpoint, out)
    (out / 'site.json').write_text(json.dumps(site))


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, folder in (('digits', 'demo'), ('scenes', 'demo-seg')):
        parser.add_argument(
            f'--{name}',
            type=Path,
            default=Path('work_dirs', folder),
            help=f'checkpoint of {NETWORKS[name][0]}, or the folder of its training',
        )
    parser.add_argument(
        '--data',
        type=Path,
        default=Path('data'),
        help='folder with the demo data, for pictures to try',
    )
    parser.add_argument(
        '--package', type=Path, help='archive of `npm pack`; fetched without it'
    )
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('docs/_build/web'),
        help='folder to write; one that such a call wrote is replaced',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with one_sentence():
        checkpoints = {n: find_checkpoint(getattr(args, n), n) for n in NETWORKS}
        if args.package and not args.package.is_file():
            raise FileNotFoundError(f'there is no file {args.package} for --package')
        if args.out.exists() and not (args.out / 'site.json').is_file():
            raise ValueError(
                f'{args.out} exists and is no page of this tool: name another --out'
            )
        draft = args.out.with_name(f'{args.out.name}.draft')
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        try:
            assemble(args, checkpoints, draft)
            shutil.rmtree(args.out, ignore_errors=True)
            draft.rename(args.out)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    size = sum(path.stat().st_size for path in args.out.rglob('*') if path.is_file())
    print(f'{args.out}: the page, {size / 1e6:.1f} MB')


if __name__ == '__main__':
    main()
