"""The configs and commands of docs/your_own_data.md, in the order of the page."""

import re
import runpy
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from sources import ROOT
from toy_layouts import label_map, picture, write_folders, write_instances, write_voc

for framework in ('mmpretrain', 'mmdet', 'mmseg'):
    pytest.importorskip(framework)

PAGE = (ROOT / 'docs/your_own_data.md').read_text()
BLOCK = re.compile(r'^```python\n# configs/mine/(\S+)\n(.*?)^```', re.M | re.S)
CONFIGS = dict(BLOCK.findall(PAGE))
COMMANDS = re.findall(r'^ *```bash\n(.*?)^ *```', PAGE, re.M | re.S)
SMALL = dict(size='64', scale='(64, 48)', epochs='1')
"""What replaces numbers at the top of the configs."""
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
IN_PROCESS = ('num_workers=0', 'persistent_workers=False')


@pytest.fixture(scope='module')
def checkout(tmp_path_factory) -> Path:
    """A folder with our configs and tools, the page's configs and toy data for them."""
    folder = tmp_path_factory.mktemp('own')
    for name in ('configs/_base_', 'tools'):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).symlink_to(ROOT / name)
    (folder / 'configs/mine').mkdir()
    for name, text in CONFIGS.items():
        for key, value in SMALL.items():
            value = '(64, 64)' if key == 'size' and 'mmseg' in text else value
            text = re.sub(rf'(?m)^{key} = .+$', f'{key} = {value}', text)
        (folder / 'configs/mine' / name).write_text(text)
    data = folder / 'data'
    write_folders(data / 'flowers', ('daisy', 'rose', 'tulip'), ('train', 'val'))
    write_instances(data / 'shapes', ('square', 'disc', 'bar'), ('train', 'val'))
    for part in ('train', 'val'):
        (data / f'shapes/annotations/instances_{part}.json').rename(
            data / f'shapes/annotations/{part}.json'
        )
    write_voc(data)
    shutil.move(data / 'VOC2007', data / 'pets')
    for part in ('train', 'val'):
        for i in range(4):
            picture(data / f'fields/images/{part}/{i}.jpg')
            label_map(data / f'fields/labels/{part}/{i}.png', [0, 1, 2, 255])
    return folder


@pytest.fixture
def run(checkout, monkeypatch, nothing_of_other_runs):
    """Return a function that runs a line of the page in this process."""
    monkeypatch.chdir(checkout)
    names = {}

    def newest(match: re.Match) -> str:
        path = Path(match[1])
        if not path.is_file():  # of an earlier block
            run(f'python tools/train.py configs/mine/{path.parent.name}.py')
        return path.read_text()

    def run(line: str) -> None:
        line = re.sub(r'\$\(cat (\S+?)\)', newest, line)
        line = re.sub(r'\$(\w+)', lambda m: names[m[1]], line)
        if assigned := re.fullmatch(r'(\w+)=(\S+)', line):
            names[assigned[1]] = assigned[2]
            return
        program, tool, *args = shlex.split(line)
        assert program == 'python'
        options = [f'{loader}.{option}' for loader in LOADERS for option in IN_PROCESS]
        args += [] if '--cfg-options' in args else ['--cfg-options']
        monkeypatch.setattr(sys, 'argv', [tool, *args, *options])
        nothing_of_other_runs()
        runpy.run_path(tool, run_name='__main__')

    return run


def lines(block: str) -> list[str]:
    return [line.strip() for line in block.replace('\\\n', ' ').strip().splitlines()]


@pytest.mark.parametrize('block', COMMANDS, ids=range(len(COMMANDS)))
def test_the_commands_run_on_toy_data(block, run, capsys):
    for line in lines(block):
        run(line)
    if 'predict.py' in block:
        assert 'predictions/predictions.json' in capsys.readouterr().out


def test_boxes_without_masks(run, checkout):
    config = checkout / 'configs/mine/shapes.py'
    text = config.read_text().replace('masks = True', 'masks = False')
    config.with_name('boxes.py').write_text(text)
    run('python tools/train.py configs/mine/boxes.py')


def test_each_config_has_its_commands():
    named = re.findall(r'tools/train\.py configs/mine/(\S+)', ''.join(COMMANDS))
    assert set(named) == CONFIGS.keys() and len(CONFIGS) == 4
