"""Classify images: labels on the screen and as JSON, and a sheet of pictures.

    python tools/predict.py CONFIG CHECKPOINT IMAGE_OR_FOLDER --out DIR

Where an image lies in a folder that is named like a class, that is taken as the truth.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import torch
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.dataset import Compose, default_collate
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner.checkpoint import CheckpointLoader
from mmengine.utils import ProgressBar
from PIL import Image
from torch import nn

import mmmambamixer.compat  # noqa: F401  (safe checkpoints, `mmdet::` bases)
from mmmambamixer.engine import check_state_dict
from mmmambamixer.engine.run_config import CLASSIFICATION, load_config, one_sentence

SUFFIXES = {'.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp'}
COLUMNS = 10


def find_images(source: Path) -> list[Path]:
    """Return an image, or all images below a folder, sorted.

    Raises:
        FileNotFoundError: If there is no such path, or no image below the folder.
    """
    if not source.exists():
        raise FileNotFoundError(f'no image or folder at {source}')
    if source.is_file():
        return [source]
    images = sorted(p for p in source.rglob('*') if p.suffix.lower() in SUFFIXES)
    if not images:
        kinds = ', '.join(sorted(SUFFIXES))
        raise FileNotFoundError(f'no images ({kinds}) in the folder {source}')
    return images


def load_model(config: Config, path: str, device: str) -> tuple[nn.Module, list[str]]:
    """Return the model with the checkpoint's weights, and the names of its classes."""
    if config.get('default_scope') != CLASSIFICATION:
        raise ValueError(
            f'tools/predict.py classifies, so it needs a config of scope '
            f'{CLASSIFICATION}, got {config.get("default_scope")}'
        )
    init_default_scope(config.default_scope)
    checkpoint = CheckpointLoader.load_checkpoint(path, 'cpu')
    model = MODELS.build(config.model)
    check_state_dict(model, checkpoint, path)
    model.load_state_dict(checkpoint.get('state_dict', checkpoint))
    classes = checkpoint.get('meta', {}).get('dataset_meta', {}).get('classes')
    if classes is None:
        classes = [str(i) for i in range(config.model.head.num_classes)]
    return model.to(device).eval(), list(classes)


def batches(config: Config, images: list[Path], size: int) -> Iterator[dict]:
    """Yield the images in batches, through the config's test pipeline."""
    pipeline = Compose(config.test_dataloader.dataset.pipeline)
    for start in range(0, len(images), size):
        paths = images[start : start + size]
        yield default_collate([pipeline(dict(img_path=str(path))) for path in paths])


def classify(
    config: Config, model: nn.Module, images: list[Path], classes: list[str], size: int
) -> list[dict]:
    """Return for each image its path, label, confidence and, where known, the truth."""
    scores = []
    bar = ProgressBar(len(images))
    for batch in batches(config, images, size):
        with torch.no_grad():
            samples = model.test_step(batch)
        scores += [sample.pred_score.cpu() for sample in samples]
        bar.update(len(samples))
    print()
    results = []
    for path, score in zip(images, scores, strict=True):
        confidence, label = score.max(0)
        result = dict(image=str(path), label=classes[label])
        result['confidence'] = float(confidence)
        if path.parent.name in classes:
            result['truth'] = path.parent.name
        results.append(result)
    return results


def draw_sheet(results: list[dict], path: Path, title: str) -> None:
    """Draw the images with label and confidence, wrong ones in red with the truth."""
    rows = -(-len(results) // COLUMNS)
    figure = Figure(figsize=(1.5 * COLUMNS, 1.95 * rows + 0.6), layout='tight')
    axes = figure.subplots(rows, COLUMNS, squeeze=False)
    for axis in axes.flat:
        axis.axis('off')
    for axis, result in zip(axes.flat, results, strict=False):
        truth = result.get('truth')
        text = f'{result["label"]}  {result["confidence"]:.0%}'
        if truth is not None:
            text += f'\ntruth {truth}'
        wrong = truth not in (None, result['label'])
        with Image.open(result['image']) as image:
            axis.imshow(image.convert('RGB'))
        axis.set_title(text, fontsize=9, color='red' if wrong else 'black')
    figure.suptitle(title)
    figure.savefig(path, dpi=100, metadata={'Software': None})


def choose_shown(results: list[dict], count: int) -> list[dict]:
    """Return at most `count` results: the wrong ones first, then evenly the others."""
    wrong = [r for r in results if r.get('truth', r['label']) != r['label']][:count]
    others = [r for r in results if r not in wrong]
    room = count - len(wrong)
    step = max(1, len(others) // max(1, room))
    return wrong + others[::step][:room]


def headline(results: list[dict]) -> str:
    """Return one line that sums the results up."""
    known = [r for r in results if 'truth' in r]
    line = f'{len(results)} images'
    if known:
        right = sum(r['label'] == r['truth'] for r in known)
        line += f', {right} of {len(known)} right ({right / len(known):.2%})'
    return line


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file; it must fit exactly')
    parser.add_argument('source', type=Path, help='image, or folder of images')
    parser.add_argument('--out', type=Path, required=True, help='folder of the results')
    parser.add_argument('--batch-size', type=int, default=64)
    parser.add_argument(
        '--show', type=int, default=60, help='images on the sheet, wrong ones first'
    )
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    parser.add_argument('--device', default=device)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with one_sentence():
        images = find_images(args.source)
        config = load_config(args.config)
        model, classes = load_model(config, args.checkpoint, args.device)
    results = classify(config, model, images, classes, args.batch_size)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / 'predictions.json').write_text(json.dumps(results, indent=1) + '\n')
    shown = choose_shown(results, args.show)
    title = headline(results)
    if len(shown) < len(results):
        title += f'; {len(shown)} shown, wrong ones first'
    draw_sheet(shown, args.out / 'predictions.png', title)
    for result in results:
        told = f'{result["image"]}  {result["label"]}  {result["confidence"]:.3f}'
        print(told + (f'  truth {result["truth"]}' if 'truth' in result else ''))
    print(headline(results))
    print(f'all predictions: {args.out / "predictions.json"}')
    print(f'picture: {args.out / "predictions.png"}')


if __name__ == '__main__':
    main()
