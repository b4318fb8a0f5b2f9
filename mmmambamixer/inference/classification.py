"""Write what a classifier predicts: labels as JSON, and a sheet of pictures."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from .output import Output
from .sheet import Cell, draw_sheet, spread, thumbnail

COLUMNS = 10


def write(samples: Iterable[tuple[Path, object]], output: Output) -> str:
    """Write `predictions.json` and `predictions.png`; return one line that sums up.

    Where an image lies in a folder that is named like a class, that is the truth.
    """
    out, meta = output.folder, output.meta
    results = [result(path, sample, meta['classes']) for path, sample in samples]
    (out / 'predictions.json').write_text(json.dumps(results, indent=1) + '\n')
    for item in results:
        told = f'{item["image"]}  {item["label"]}  {item["confidence"]:.3f}'
        print(told + (f'  truth {item["truth"]}' if 'truth' in item else ''))
    shown = choose_shown(results, output.show)
    title = headline(results)
    if len(shown) < len(results):
        title += f'; {len(shown)} shown, wrong ones first'
    if shown:
        cells = [cell(item, output.read(Path(item['image']))) for item in shown]
        sheet = out / 'predictions.png'
        draw_sheet(cells, sheet, title, columns=COLUMNS, side=1.5)
    return headline(results)


def result(path: Path, sample, classes: list[str]) -> dict:
    """Return path, label, confidence and, where known, the truth of an image."""
    confidence, label = sample.pred_score.max(0)
    told = dict(image=str(path), label=classes[label], confidence=float(confidence))
    if path.parent.name in classes:
        told['truth'] = path.parent.name
    return told


def cell(item: dict, picture: np.ndarray) -> Cell:
    truth = item.get('truth')
    text = f'{item["label"]}  {item["confidence"]:.0%}'
    if truth is not None:
        text += f'\ntruth {truth}'
    color = 'black' if truth in (None, item['label']) else 'red'
    return Cell(thumbnail(picture), text, color)


def choose_shown(results: list[dict], count: int) -> list[dict]:
    """Return at most `count` results: the wrong ones first, then evenly the others."""
    wrong = [r for r in results if r.get('truth', r['label']) != r['label']]
    others = [r for r in results if r.get('truth', r['label']) == r['label']]
    wrong = spread(wrong, count)
    return wrong + spread(others, count - len(wrong))


def headline(results: list[dict]) -> str:
    """Return one line that sums the results up."""
    known = [r for r in results if 'truth' in r]
    line = f'{len(results)} images'
    if known:
        right = sum(r['label'] == r['truth'] for r in known)
        line += f', {right} of {len(known)} right ({right / len(known):.2%})'
    return line
