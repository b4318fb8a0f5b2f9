"""Write what a segmenter predicts: label maps, pictures over the images, shares."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from matplotlib.patches import Patch
from mmseg.structures import SegDataSample
from PIL import Image

from .output import Output
from .sheet import PAIRS, Cell, draw_sheet, spread, thumbnail

COVER = 0.6
"""How much of a picture the colours of its classes cover, 1 is all."""
LEGEND = 24
"""Classes that a legend names, the largest first."""


def write(samples: Iterable[tuple[Path, SegDataSample]], output: Output) -> str:
    """Write what a segmenter predicts; return one line that sums up.

    `predictions.json` has the shares of the classes, `label_maps/` their indices,
    `overlays/` each image beside its map, and `predictions.png` some of them.
    """
    out, meta = output.folder, output.meta
    on_sheet = set(spread(list(output.names), output.show))
    results, cells = [], []
    for path, sample in samples:
        picture = output.read(path)
        label_map = out / 'label_maps' / output.names[path]
        labels = sample.pred_sem_seg.data[0].numpy()
        save_label_map(labels, meta['palette'], label_map)
        shares = class_shares(labels, meta['classes'])
        results.append(dict(image=str(path), label_map=str(label_map), shares=shares))

        drawn = coloured(picture, labels, meta['palette'])
        pair = [Cell(picture, path.name), Cell(drawn, 'prediction')]
        overlay = out / 'overlays' / output.names[path]
        overlay.parent.mkdir(parents=True, exist_ok=True)
        side = min(max(picture.shape[1] / 100, 5), 15)  # inches of 100 pixels
        patches = legend(shares, meta)
        draw_sheet(pair, overlay, '', columns=2, side=side, handles=patches)
        if path in on_sheet:
            cells += [Cell(thumbnail(cell.picture), cell.title) for cell in pair]
    (out / 'predictions.json').write_text(json.dumps(results, indent=1) + '\n')

    mean = mean_shares(results)
    line = f'{len(results)} images, {len(mean)} of {len(meta["classes"])} classes seen'
    if cells:
        shown = f'; {len(on_sheet)} shown' if len(on_sheet) < len(results) else ''
        columns = 2 * min(PAIRS, len(on_sheet))
        sheet, title = out / 'predictions.png', line + shown
        handles = legend(mean, meta)
        draw_sheet(cells, sheet, title, columns=columns, side=4, handles=handles)
    return line


def class_shares(labels: np.ndarray, classes: list[str]) -> dict[str, float]:
    """Return the part of the pixels that each class has, the largest first."""
    counts = np.bincount(labels.ravel(), minlength=len(classes))
    order = [i for i in np.argsort(-counts, kind='stable') if counts[i]]
    return {classes[i]: float(counts[i] / labels.size) for i in order}


def mean_shares(results: list[dict]) -> dict[str, float]:
    """Return the mean of the images' shares, the largest first."""
    total = {}
    for item in results:
        for name, share in item['shares'].items():
            total[name] = total.get(name, 0) + share / len(results)
    return dict(sorted(total.items(), key=lambda entry: -entry[1]))


def save_label_map(
    labels: np.ndarray, palette: list[tuple[int, int, int]], path: Path
) -> None:
    """Write class indices `(h, w)` as a PNG whose pixel values they are.

    Up to 256 classes are 8 bits with the palette, so that viewers show colours; more
    are 16 bits without.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if len(palette) > 256:
        Image.fromarray(labels.astype(np.uint16)).save(path)
        return
    image = Image.fromarray(labels.astype(np.uint8))
    image.putpalette(np.array(palette, np.uint8).tobytes())
    image.save(path)


def coloured(
    picture: np.ndarray, labels: np.ndarray, palette: list[tuple[int, int, int]]
) -> np.ndarray:
    """Return a picture `(h, w, 3)` under the colours of its classes `(h, w)`."""
    colours = np.array(palette)[labels]
    return ((1 - COVER) * picture + COVER * colours).astype(np.uint8)


def legend(shares: dict[str, float], meta: dict) -> list[Patch]:
    """Return a patch with name and share for each of the largest classes."""
    colors = dict(zip(meta['classes'], meta['palette'], strict=True))
    return [
        Patch(color=np.array(colors[name]) / 255, label=f'{name} {share:.1%}')
        for name, share in list(shares.items())[:LEGEND]
    ]
