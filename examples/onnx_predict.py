"""Classes or label maps of images, by a file that tools/export.py wrote.

    python onnx_predict.py MODEL.onnx IMAGE ... --out DIR    # DIR gets pictures

Needs numpy, Pillow and onnxruntime.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
from PIL import Image, ImageDraw


def prepare(picture: Image.Image, axes: list, meta: dict) -> np.ndarray:
    """Return what the network reads of a picture, resized where it must be."""
    inside = meta['preprocessing'] == 'inside'
    size = axes[1:3] if inside else axes[2:4]
    if not all(isinstance(side, int) for side in size):  # open
        size = None if inside or meta['task'] == 'segmentation' else meta['input_size']
    if size:
        picture = picture.resize(size[::-1], Image.BICUBIC)
    if inside:
        return np.asarray(picture)[None]
    x = np.asarray(picture)[..., :: 1 if meta['channel_order'] == 'RGB' else -1]
    x = (x - np.float32(meta['mean'])) / np.float32(meta['std'])
    return x.transpose(2, 0, 1)[None]


parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
parser.add_argument('model')
parser.add_argument('images', nargs='+', type=Path)
parser.add_argument('--out', type=Path, default=Path('predictions'))
args = parser.parse_args()
session = ort.InferenceSession(args.model, providers=['CPUExecutionProvider'])
meta = session.get_modelmeta().custom_metadata_map
meta = {k: json.loads(v) if v[0] in '[{' else v for k, v in meta.items()}
answer = dict(classification='scores', segmentation='labels').get(meta.get('task'))
if answer is None:
    raise SystemExit(f'error: {args.model} neither classifies nor segments images')
axes = session.get_inputs()[0].shape
args.out.mkdir(parents=True, exist_ok=True)
for path in args.images:
    picture = Image.open(path).convert('RGB')
    result = session.run([answer], dict(image=prepare(picture, axes, meta)))[0][0]
    out = args.out / f'{path.parent.name}_{path.stem}.png'
    if meta['task'] == 'classification':
        text = f'{meta["classes"][result.argmax()]}  {result.max():.3f}'
        ImageDraw.Draw(large := picture.resize((256, 256))).text((4, 4), text, 'red')
        large.save(out)
    else:
        labels = Image.fromarray(result.astype(np.uint8))
        labels.putpalette(np.uint8(meta['palette']).tobytes())
        labels.save(out)
        colours = labels.convert('RGB').resize(picture.size, Image.NEAREST)
        Image.blend(picture, colours, 0.6).save(out.with_suffix('.overlay.png'))
        text = ', '.join(meta['classes'][i] for i in np.unique(result))
    print(f'{path}  {text}')
