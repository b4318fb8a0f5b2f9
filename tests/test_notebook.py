"""The notebook: stored without outputs, and it runs from the first cell to the last."""

import json

import pytest
from sources import ROOT

NOTEBOOK = json.loads((ROOT / 'examples/images_to_onnx.ipynb').read_text())
CODE = [''.join(c['source']) for c in NOTEBOOK['cells'] if c['cell_type'] == 'code']


def test_it_is_stored_without_outputs_and_links_to_pages_that_are_there():
    assert not any(cell.get('outputs') for cell in NOTEBOOK['cells'])
    text = ''.join(line for cell in NOTEBOOK['cells'] for line in cell['source'])
    links = [part.partition(')')[0] for part in text.split('](')[1:]]
    assert links and all((ROOT / 'examples' / link).is_file() for link in links)


@pytest.mark.slow
def test_it_trains_inspects_and_exports(tmp_path, monkeypatch):
    for package in ('mmpretrain', 'onnx', 'onnxscript', 'onnxruntime'):
        pytest.importorskip(package)
    monkeypatch.setenv('MPLBACKEND', 'agg')
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    for name in ('configs', 'tools'):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    space = {}
    for text in CODE:
        exec(text, space)
    assert space['accuracy'] > 90
    assert space['found']['label'] == space['classes'][space['scores'].argmax()]
    assert space['scores'].max() == pytest.approx(
        space['found']['confidence'], abs=1e-3
    )
