"""The Markdown pages: links lead somewhere, examples are code, and some of it runs."""

import ast
import importlib
import re
from pathlib import Path

import pytest
import torch
from sources import ROOT

SKIPPED = {'build', 'dist', 'data', 'work_dirs', '_build'}
PAGES = [
    path.relative_to(ROOT)
    for path in sorted(ROOT.rglob('*.md'))
    if not any(p in SKIPPED or p[0] == '.' for p in path.relative_to(ROOT).parts)
]
LINK = re.compile(r'\]\(([^)\s]+)\)|(?:src|href)="([^"]+)"')
BLOCK = re.compile(r'^ *```python\n(.*?)^ *```', re.M | re.S)
HERE = 'mmmambamixer'


def blocks(page: Path) -> list[str]:
    return BLOCK.findall((ROOT / page).read_text())


@pytest.mark.parametrize('page', PAGES, ids=str)
def test_links_into_the_checkout_lead_somewhere(page):
    found = [a or b for a, b in LINK.findall((ROOT / page).read_text())]
    local = [x.partition('#')[0] for x in found if '://' not in x and x[0] != '#']
    folder = (ROOT / page).parent
    assert [link for link in local if not (folder / link).exists()] == []


def test_examples_are_code_and_import_what_there_is():
    imported = 0
    for page in PAGES:
        for text in blocks(page):
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.ImportFrom) and node.module.startswith(HERE):
                    module = importlib.import_module(node.module)
                    for alias in node.names:
                        assert hasattr(module, alias.name), (page, alias.name)
                        imported += 1
    assert imported > 5


def test_the_readmes_backbone_gives_the_maps_that_it_says():
    [text] = [b for b in blocks(Path('README.md')) if 'import ViM2' in b]
    space = {}
    with torch.no_grad():
        exec(text, space)
    shapes = [tuple(x.shape[2:]) for x in space['maps']]
    assert shapes == [(50, 80), (25, 40), (13, 20), (7, 10)]
