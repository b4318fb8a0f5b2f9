"""Print the errors of a tested TSM2 beside repeat-last and its linear path alone.

python tools/forecast_summary.py CONFIG METRICS.json

METRICS.json comes from tools/test.py with `--out-item metrics`. Repeat-last is computed
here, on the same windows by the same metric.
"""

import argparse
import json
from pathlib import Path

from mmengine.dataset import default_collate
from mmengine.registry import DATASETS, METRICS, init_default_scope
from torch.utils.data import DataLoader

import mmmambamixer.patches  # noqa: F401  (registers what configs name)
from mmmambamixer.engine.config import load_config
from mmmambamixer.messages import one_sentence
from mmmambamixer.models.forecasters import RepeatLast


def repeat_last(config) -> tuple[dict[str, float], int]:
    """Return the errors of repeat-last on the test windows, and their number."""
    init_default_scope(config.default_scope)
    windows = DATASETS.build(config.test_dataloader.dataset)
    meta = windows.metainfo
    model = RepeatLast(
        look_back=meta['look_back'],
        horizon=meta['horizon'],
        variates=len(meta['variates']),
        targets=meta['targets'],
    )
    metric = METRICS.build(dict(type='ForecastMetric'))
    for batch in DataLoader(windows, batch_size=128, collate_fn=default_collate):
        metric.process(None, model(**batch, mode='predict'))
    return metric.evaluate(len(windows)), len(windows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('metrics', type=Path, help='file that tools/test.py wrote')
    args = parser.parse_args()
    with one_sentence():
        tested = json.loads(args.metrics.read_text())
        naive, count = repeat_last(load_config(args.config))
        rows = {'repeat-last': naive, 'ridge (its linear path alone)': tested}
        keys = dict.fromkeys(rows, 'forecast') | {[*rows][1]: 'line'}
        rows['TSM2'], keys['TSM2'] = tested, 'forecast'
        print(f'{count} test windows, scaled values{"MSE":>15}{"MAE":>9}')
        for name, found in rows.items():
            mse, mae = (found[f'{keys[name]}/{error}'] for error in ('mse', 'mae'))
            print(f'{name:36}{mse:9.4f}{mae:9.4f}')


if __name__ == '__main__':
    main()
