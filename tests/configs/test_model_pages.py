"""The model pages: every config is listed, tables and metafiles say the same."""

import importlib.util
import re
from pathlib import Path

import pytest
import yaml

import mmmambamixer.patches  # noqa: F401  (`mmdet::` bases)
from mmmambamixer.engine.config import load_config

ROOT = Path(__file__).parents[2]
INDEX = yaml.safe_load((ROOT / 'model-index.yml').read_text())
PAGES = {path: yaml.safe_load((ROOT / path).read_text()) for path in INDEX['Import']}
PAPERS = {'vmamba': '2401.10166'}
"""By folder; all others are of MambaMixer."""
SHAPES = dict(detection=(800, 1280), segmentation=(512, 2048))
MEASURED = [
    'configs/detection/mask-rcnn_vim2-t_fpn_1x_coco.py',
    'configs/detection/retinanet_vim2-t_fpn_1x_coco.py',
    'configs/segmentation/vim2-tiny_upernet_8xb2-160k_ade20k-512x512.py',
]


def test_the_index_imports_every_page():
    pages = (path.relative_to(ROOT) for path in ROOT.glob('configs/*/metafile.yml'))
    assert INDEX['Import'] == sorted(page.as_posix() for page in pages)


def test_mims_reader_reads_the_index():
    reader = pytest.importorskip('modelindex.load_model_index')
    index = reader.load(str(ROOT / 'model-index.yml'))
    index.build_models_with_collections()
    names = [model.name for model in index.models]
    assert (
        len(names) == len(set(names)) == sum(len(p['Models']) for p in PAGES.values())
    )


@pytest.mark.parametrize('path', PAGES)
def test_a_page_lists_its_folder_and_promises_nothing(path):
    page, folder = PAGES[path], Path(path).parent
    (collection,) = page['Collections']
    readme = (ROOT / collection['README']).read_text()
    paper = f'https://arxiv.org/abs/{PAPERS.get(folder.name, "2403.19888")}'
    assert collection['README'] == f'{folder}/README.md'
    assert collection['Paper']['URL'] == paper
    assert paper in readme
    listed = [model['Config'] for model in page['Models']]
    shipped = [
        file.relative_to(ROOT).as_posix() for file in ROOT.glob(f'{folder}/*.py')
    ]
    assert sorted(listed) == sorted(shipped)
    for model in page['Models']:
        assert model['Name'] == Path(model['Config']).stem
        assert model['In Collection'] == collection['Name']
        assert model['Weights'] is None, f'{path} names weights; nothing is published'


@pytest.mark.parametrize('path', PAGES)
def test_tables_say_what_the_metafiles_say(path):
    lines = (ROOT / path).with_name('README.md').read_text().splitlines()
    for model in PAGES[path]['Models']:
        (row,) = [line for line in lines if f'({model["Name"]}.py) |' in line]
        figures = model['Metadata']
        for key, unit, scale in (('Parameters', 'M', 1e6), ('FLOPs', 'G', 1e9)):
            stated = re.search(rf'\| ([\d.]+) {unit}\b', row)[1]
            decimals = len(stated.split('.')[1])
            assert stated == f'{figures[key] / scale:.{decimals}f}'
        for result in model['Results'] or []:
            for value in result['Metrics'].values():
                assert str(value) in row


@pytest.mark.slow
@pytest.mark.parametrize('name', MEASURED)
def test_flops_are_those_of_the_tool(name):
    pytest.importorskip('mmdet' if '/detection/' in name else 'mmseg')
    path = ROOT / 'tools/analysis_tools/get_flops.py'
    spec = importlib.util.spec_from_file_location('get_flops', path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    config = load_config(ROOT / name)
    shape = SHAPES[name.split('/')[1]]
    assert tool.SHAPES[config.default_scope] == shape
    flops = tool.analyze(tool.build_model(config), config.default_scope, shape)
    (stated,) = [
        model['Metadata']['FLOPs']
        for page in PAGES.values()
        for model in page['Models']
        if model['Config'] == name
    ]
    assert flops.total() == stated
