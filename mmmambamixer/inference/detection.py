"""Write what a detector predicts: COCO results, pictures with boxes and masks."""

import json
import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import mmcv
import numpy as np
from mmdet.structures import DetDataSample
from mmdet.structures.mask import encode_mask_results
from mmdet.visualization import DetLocalVisualizer

from .images import read_picture
from .output import Output
from .sheet import PAIRS, Cell, draw_sheet, spread, thumbnail

SIDE = 800
"""Smaller pictures are enlarged by a whole factor to this side, so that text fits."""


def write(samples: Iterable[tuple[Path, DetDataSample]], output: Output) -> str:
    """Write `predictions.json`, `overlays/` and `predictions.png`; return a summary."""
    out, meta = output.folder, output.meta
    visualizer = DetLocalVisualizer(name='predict', alpha=0.6)
    visualizer.dataset_meta = meta
    results, drawn = [], {}
    for index, (path, sample) in enumerate(samples):
        found = coco_results(index, path, sample.pred_instances, meta['classes'])
        results += found
        drawn[path] = [r['category'] for r in found if r['score'] >= output.threshold]
        overlay = draw(visualizer, output.read(path), sample, output.threshold)
        mmcv.imwrite(overlay[..., ::-1], str(out / 'overlays' / output.names[path]))
    (out / 'predictions.json').write_text(json.dumps(results) + '\n')

    total = sum(map(len, drawn.values()))
    line = f'{len(drawn)} images, {total} objects with score >= {output.threshold:g}'
    cells = []
    shown = spread(list(drawn), output.show)
    for path in shown:
        counts = Counter(drawn[path])
        told = ', '.join(f'{n} x {name}' for name, n in counts.most_common(4)) or 'none'
        told += ', ...' if len(counts) > 4 else ''
        overlay = read_picture(out / 'overlays' / output.names[path])
        picture = thumbnail(output.read(path))
        cells += [Cell(picture, path.name), Cell(thumbnail(overlay), told)]
    if cells:
        pairs = min(PAIRS, len(shown))
        title = line if len(shown) == len(drawn) else f'{line}; {len(shown)} shown'
        sheet = out / 'predictions.png'
        draw_sheet(cells, sheet, title, columns=2 * pairs, side=4)
    return line if total else f'{line}; {best_score(results)}'


def best_score(results: list[dict]) -> str:
    """Return what to do where no object reaches the threshold."""
    if not results:
        return 'the model gives no object at any score'
    best = max(result['score'] for result in results)
    shown = math.floor(1000 * best) / 1000  # rounded down, so that it shows that object
    return f'the best score is {best:.3g}: to draw it, --score-threshold {shown:g}'


def coco_results(
    image_id: int, path: Path, instances, classes: list[str]
) -> list[dict]:
    """Return detections in the form of COCO's result files, with names.

    Args:
        image_id: Index of the image among those of this call.
        path: The image.
        instances: `bboxes` (x1, y1, x2, y2), `scores`, `labels`, maybe `masks`.
        classes: Names by label.
    """
    results = []
    for i in range(len(instances)):
        x1, y1, x2, y2 = instances.bboxes[i].tolist()
        label = int(instances.labels[i])
        item = dict(
            image_id=image_id,
            image=str(path),
            category_id=label,
            category=classes[label],
            bbox=[x1, y1, x2 - x1, y2 - y1],
            score=float(instances.scores[i]),
        )
        if 'masks' in instances:
            mask = instances.masks[i].numpy().astype(bool)
            (rle,) = encode_mask_results([mask])
            item['segmentation'] = dict(rle, counts=rle['counts'].decode())
        results.append(item)
    return results


def draw(
    visualizer: DetLocalVisualizer,
    picture: np.ndarray,
    sample: DetDataSample,
    threshold: float,
) -> np.ndarray:
    """Return the picture, enlarged if it is small, with boxes, masks and names."""
    times = max(1, -(-SIDE // max(picture.shape[:2])))
    sample = sample.clone()
    instances = sample.pred_instances
    instances = instances[instances.scores >= threshold]
    if times > 1:
        picture = mmcv.imrescale(picture, float(times), interpolation='bilinear')
        instances.bboxes = instances.bboxes * times
        if 'masks' in instances:
            masks = instances.masks.repeat_interleave(times, 1)
            instances.masks = masks.repeat_interleave(times, 2)
    sample.pred_instances = instances
    visualizer.add_datasample(
        'image', picture, sample, draw_gt=False, pred_score_thr=threshold
    )
    return visualizer.get_image()
