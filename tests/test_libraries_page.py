"""The code of docs/libraries.md, in the order of the page."""

import importlib.util
import re
import runpy
import sys

import torch
from sources import ROOT

import mmmambamixer
from mmmambamixer.hub import vim2_tiny

PAGE = (ROOT / 'docs/libraries.md').read_text()
BLOCKS = re.findall(r'^```(python|bash)\n(.*?)^```', PAGE, re.M | re.S)
OPTIONAL = ('mmpretrain', 'pytorch_grad_cam', 'segmentation_models_pytorch', 'timm')
CONVERTER = re.compile(r'^python (tools/convert_checkpoint\.py) (\S+) (\S+)$', re.M)


def test_the_page_runs(tmp_path, monkeypatch):
    for name in ('configs', 'hubconf.py', 'mmmambamixer', 'tools'):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    trained = vim2_tiny(num_classes=10)
    torch.save(dict(meta=dict(epoch=1), state_dict=trained.state_dict()), 'vim2.pth')
    space = dict(
        torch=torch, mmmambamixer=mmmambamixer, image=torch.randn(1, 3, 224, 224)
    )
    lacking = [package for package in OPTIONAL if not importlib.util.find_spec(package)]
    for kind, text in BLOCKS:
        if kind == 'bash':
            for command in CONVERTER.findall(text):
                monkeypatch.setattr(sys, 'argv', [*command])
                runpy.run_path(command[0], run_name='__main__')
            continue
        lacking += [
            p for p in OPTIONAL if p in text and not importlib.util.find_spec(p)
        ]
        if not any(package in text for package in lacking):
            exec(text, space)
    assert [m.shape[3] for m in space['encoder'](space['image'])] == [56, 28, 14, 7]
    back = torch.load('back.pth', weights_only=True)
    torch.testing.assert_close(back['state_dict'], dict(trained.state_dict()))
    assert back['meta'] == dict(epoch=1)
    found = space['model'].head.fc.weight  # of the hub, or of timm
    torch.testing.assert_close(found, trained.head.fc.weight)
    if 'mmpretrain' not in lacking:
        assert space['pooled'][0].shape == (768,) and space['maps'][0].shape[1:] == (
            7,
            7,
        )
    if not lacking:
        assert space['logits'].shape == (1, 3, 224, 224)
        assert space['heat'].shape == (1, 224, 224)
