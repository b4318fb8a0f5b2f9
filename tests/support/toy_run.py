"""Runs without a network: data sets, metrics and heads, as `open_data` reads them."""

from types import SimpleNamespace

from mmengine.config import ConfigDict
from mmengine.evaluator import Evaluator
from mmengine.registry import DATASETS, EVALUATOR, METRICS
from torch import nn


class ToyHead(nn.Module):
    """What the checks read of a head."""

    def __init__(self, num_classes: int, **attributes) -> None:
        super().__init__()
        self.num_classes = num_classes
        for name, value in attributes.items():
            setattr(self, name, value)


class ToyRun:
    """The parts of a runner that the checks read; loops are made when asked for.

    Args:
        scope: 'mmpretrain', 'mmdet' or 'mmseg'.
        heads: By their name in the model.
        evaluator: Config of the metrics of all parts, or of one metric.
        **datasets: Configs by part.
    """

    def __init__(self, scope: str, heads: dict, evaluator=(), **datasets) -> None:
        self.cfg = ConfigDict(default_scope=scope)
        for part in datasets:
            self.cfg[f'{part}_evaluator'] = evaluator
        self.model = nn.Module()
        self.model.data_preprocessor = nn.Module()
        for name, head in heads.items():
            self.model.add_module(name, head)
        self._datasets, self._loops = datasets, {}

    def __getattr__(self, name: str):
        part, _, kind = name.partition('_')
        if kind != 'loop':
            raise AttributeError(name)
        if part not in self._loops and part in self._datasets:
            self._loops[part] = self.make(part)
        return self._loops.get(part)

    def make(self, part: str) -> SimpleNamespace:
        dataset = DATASETS.build(ConfigDict(self._datasets[part]))
        loader = type('Loader', (), dict(__len__=lambda _: len(dataset)))()
        loader.dataset = dataset
        entries = self.cfg.get(f'{part}_evaluator') or ()
        if 'metrics' in entries:
            evaluator = EVALUATOR.build(entries)
        else:
            entries = entries if isinstance(entries, (list, tuple)) else [entries]
            evaluator = Evaluator([METRICS.build(entry) for entry in entries])
        evaluator.dataset_meta = getattr(dataset, 'metainfo', None)
        return SimpleNamespace(dataloader=loader, evaluator=evaluator)
