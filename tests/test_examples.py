"""The examples that run with torch: they learn what they say they learn."""

import importlib.util

import pytest
import torch
from sources import ROOT

from mmmambamixer.hub import vim2_backbone, vim2_tiny


@pytest.fixture(scope='module')
def example():
    path = ROOT / 'examples' / 'fpn_segmentation.py'
    spec = importlib.util.spec_from_file_location('fpn_segmentation', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_segmenter_learns(example, capsys):
    assert example.main(['--steps', '30']) > 0.9  # three quarters are ground
    assert 'step 30  loss' in capsys.readouterr().out
    _, labels = example.scenes(32)
    assert (labels == 0).float().mean() < 0.85


def test_it_starts_from_the_weights_of_a_classifier(example, tmp_path):
    classifier = vim2_tiny(arch=example.SMALL)
    torch.save(classifier.state_dict(), tmp_path / 'x.pth')
    encoder = vim2_backbone(arch=example.SMALL, checkpoint=tmp_path / 'x.pth')
    model = example.Segmenter(encoder.eval(), 3)
    found, wanted = model.encoder.stages, classifier.backbone.stages
    torch.testing.assert_close(found.state_dict(), wanted.state_dict())
    assert model(torch.randn(1, 3, 40, 72)).shape == (1, 3, 40, 72)
