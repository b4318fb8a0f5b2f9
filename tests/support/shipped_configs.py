"""The configs that are shipped, and how their trainings are cut short in tests."""

import copy
import functools
import re
from pathlib import Path

from mmengine.config import Config
from mmengine.hooks import Hook

import mmmambamixer.patches  # noqa: F401  (`mmdet::` bases)

ROOT = Path(__file__).parents[2]
FRAMEWORK = re.compile(r"'(mmpretrain|mmdet|mmseg)::")


def framework(path: Path) -> str:
    """Return the framework whose configs a config inherits; reads no base of theirs."""
    text = path.read_text()
    if named := FRAMEWORK.search(text):
        return named[1]
    if "default_scope = 'mmmambamixer'" in text:
        return 'mmmambamixer'
    return framework(path.parent / re.search(r"_base_ = '(.+)'", text)[1])


def shipped(*frameworks: str) -> dict[str, Path]:
    """Return the paths of all configs of these frameworks, by their names from ROOT."""
    return {
        path.relative_to(ROOT).as_posix(): path
        for path in sorted((ROOT / 'configs').rglob('*.py'))
        if '_base_' not in path.parts and framework(path) in frameworks
    }


@functools.cache
def read(name: str) -> Config:
    return Config.fromfile(ROOT / name)


def load(name: str) -> Config:
    """Return a config that may be changed."""
    return copy.deepcopy(read(name))


class StopAfterOneStep(Hook):
    """Note the loss of the first step and end the training after it."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.loss = outputs['loss'].item()
        runner.train_loop.stop_training = True
