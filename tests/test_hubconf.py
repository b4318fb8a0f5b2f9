"""`torch.hub.load` on the checkout: classifiers, maps, weights, an uninstalled copy."""

import importlib.util
from pathlib import Path

import pytest
import torch
from sources import ROOT, run_python

from mmmambamixer import ViM2

SMALL = dict(
    arch=dict(embed_dims=(8, 8, 16, 16), depths=(1, 1, 1, 1)), d_state=1, grid_size=2
)


def load(name: str, **settings):
    return torch.hub.load(str(ROOT), name, source='local', **settings)


@pytest.fixture
def image():
    torch.manual_seed(0)
    return torch.randn(2, 3, 40, 24)


@pytest.mark.parametrize('size', ['tiny', 'small', 'base'])
def test_the_classifiers_are_the_archs_of_vim2(size):
    with torch.device('meta'):
        model = load(f'vim2_{size}', num_classes=5)
        backbone = ViM2(arch=size)
    shapes = {f'backbone.{k}': v.shape for k, v in backbone.state_dict().items()}
    width = backbone.embed_dims[-1]
    shapes |= {'head.fc.weight': (5, width), 'head.fc.bias': (5,)}
    assert {k: tuple(v.shape) for k, v in model.state_dict().items()} == shapes


def test_hub_lists_the_entries_and_nothing_else():
    spec = importlib.util.spec_from_file_location('hubconf', ROOT / 'hubconf.py')
    hubconf = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hubconf)
    public = {n for n, x in vars(hubconf).items() if callable(x) and n[0] != '_'}
    assert public == {'vim2_tiny', 'vim2_small', 'vim2_base', 'vim2_backbone'}


def test_another_version_than_the_installed_one_is_told(tmp_path):
    (tmp_path / 'hubconf.py').symlink_to(ROOT / 'hubconf.py')
    (tmp_path / 'mmmambamixer').mkdir()
    (tmp_path / 'mmmambamixer/version.py').write_text("__version__ = '99.0'")
    with pytest.warns(UserWarning, match=r'is installed and runs, not the 99\.0 of'):
        torch.hub.load(str(tmp_path), 'vim2_backbone', source='local', **SMALL)


def test_a_checkpoint_is_loaded_whole(image, tmp_path):
    source = load('vim2_tiny', num_classes=3, **SMALL).eval()
    torch.save(dict(meta={}, state_dict=source.state_dict()), tmp_path / 'x.pth')
    settings = dict(checkpoint=tmp_path / 'x.pth', **SMALL)
    model = load('vim2_tiny', num_classes=3, **settings).eval()
    torch.testing.assert_close(model(image), source(image), rtol=0, atol=0)
    with pytest.raises(ValueError, match=r'x\.pth does not fit .* 2 of another shape'):
        load('vim2_tiny', num_classes=4, **settings)

    maps = load('vim2_backbone', **settings).eval()(image)
    assert [m.shape[1:] for m in maps] == [
        (8, 10, 6),
        (8, 5, 3),
        (16, 3, 2),
        (16, 2, 1),
    ]
    torch.testing.assert_close(maps[-1], source.backbone(image)[0], rtol=0, atol=0)
    torch.save(source.backbone.state_dict(), tmp_path / 'alone.pth')
    alone = load('vim2_backbone', **settings | dict(checkpoint=tmp_path / 'alone.pth'))
    torch.testing.assert_close(alone.eval()(image)[-1], maps[-1], rtol=0, atol=0)


@pytest.mark.parametrize('name', ['vim2_tiny', 'vim2_backbone'])
def test_what_is_not_there_is_told_in_a_sentence(name):
    with pytest.raises(ValueError, match='no published weights of ViM2: leave out'):
        load(name, pretrained=True)
    with pytest.raises(FileNotFoundError, match=r'no checkpoint at none\.pth'):
        load(name, checkpoint='none.pth', **SMALL)


UNINSTALLED = """
import sys
sys.meta_path[:] = [f for f in sys.meta_path if 'Editable' not in str(f)]
sys.path[:] = [p for p in sys.path if p]
import torch
model = torch.hub.load({root!r}, 'vim2_backbone', source='local', **{settings!r})
import mmmambamixer, mmmambamixer.ops
print(mmmambamixer.__file__, mmmambamixer.ops.__file__)
print([m.shape[1] for m in model(torch.zeros(1, 3, 8, 8))])
"""


def test_a_checkout_that_is_not_installed_runs(tmp_path):
    for name in ('hubconf.py', 'mmmambamixer', 'ops'):
        (tmp_path / name).symlink_to(ROOT / name)
    code = UNINSTALLED.format(root=str(tmp_path), settings=SMALL)
    result = run_python(code, tmp_path)
    assert result.returncode == 0, result.stderr[-2000:]
    files, channels = result.stdout.splitlines()
    package, ops = map(Path, files.split())
    assert package == tmp_path / 'mmmambamixer/__init__.py'
    assert ops == tmp_path / 'ops/__init__.py'
    assert channels == '[8, 8, 16, 16]'
