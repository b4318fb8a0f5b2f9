"""Compare our logits with those of VMamba's own code, on converted random weights.

    python benchmarks/vmamba_logits.py PATH/TO/VMamba/classification/models

For each of VMamba's first networks: draw its weights, save them as its release does,
convert the file with tools/convert_vmamba.py, and run both on the same images on CPU.
Writes benchmarks/results/vmamba_logits.json; the exit status is 1 above `LIMIT`.
"""

import argparse
import subprocess
import sys
import tempfile
import types
from pathlib import Path

import mmpretrain.models  # noqa: F401
import torch
from mmengine.registry import MODELS, init_default_scope
from peers import import_vmamba
from report import environment, write
from torch import nn

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / 'benchmarks' / 'results' / 'vmamba_logits.json'
LIMIT = 1e-4
WIDTHS = dict(tiny=768, small=768, base=1024)
SIZES = ((96, 64), (64, 96), (224, 224))


def convert(theirs: nn.Module) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        source, target = f'{folder}/source.pth', f'{folder}/target.pth'
        torch.save({'model': theirs.state_dict()}, source)
        command = [sys.executable, str(ROOT / 'tools' / 'convert_vmamba.py')]
        subprocess.run([*command, source, target], check=True)
        return torch.load(target, weights_only=True)['state_dict']


def classifier(name: str) -> nn.Module:
    backbone = dict(type='mmmambamixer.ViM2', arch=f'vmamba_{name}')
    head = dict(type='LinearClsHead', num_classes=1000, in_channels=WIDTHS[name])
    neck = dict(type='GlobalAveragePooling')
    return MODELS.build(
        dict(type='ImageClassifier', backbone=backbone, neck=neck, head=head)
    )


@torch.no_grad()
def compare(vmamba: types.ModuleType, name: str) -> dict:
    theirs = getattr(vmamba, f'vanilla_vmamba_{name}')().eval()
    for parameter in theirs.parameters():
        parameter.add_(0.02 * torch.randn_like(parameter))
    ours = classifier(name).eval()
    ours.load_state_dict(convert(theirs))
    differences = {}
    for height, width in SIZES:
        image = torch.randn(1, 3, height, width)
        expected = theirs(image)
        difference = (ours(image) - expected).abs().max().item()
        differences[f'{height} x {width}'] = difference
        print(
            f'{name} {height} x {width}: logits up to {expected.abs().max():.2f}, '
            f'largest difference {difference:.1e}',
            flush=True,
        )
    return differences


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder', help="VMamba's classification/models")
    args = parser.parse_args()
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    vmamba = import_vmamba(args.folder)
    differences = {name: compare(vmamba, name) for name in WIDTHS}
    report = dict(
        command='python benchmarks/vmamba_logits.py VMamba/classification/models',
        **environment(),
        largest_difference_of_logits=differences,
    )
    write(RESULTS, report)
    if max(max(x.values()) for x in differences.values()) > LIMIT:
        raise SystemExit(f'logits differ by more than {LIMIT}')


if __name__ == '__main__':
    main()
