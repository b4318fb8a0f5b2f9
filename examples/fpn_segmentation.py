"""A segmenter of ViM2 and torchvision's feature pyramid, trained on toy scenes.

    python fpn_segmentation.py                             # seconds on one core
    python fpn_segmentation.py --checkpoint vim2_tiny.pth  # trained; minutes

Needs torch, torchvision and mmmambamixer; no other part of OpenMMLab than MMEngine.
"""

import argparse
from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork

from mmmambamixer.hub import vim2_backbone

CLASSES = ('ground', 'square', 'stripe')
SMALL = dict(embed_dims=(16, 32, 48, 64), depths=(1, 1, 2, 1))


class Segmenter(nn.Module):
    """Maps of all stages, their pyramid, and a class for each pixel.

    Image `(b, 3, H, W)` -> logits `(b, classes, H, W)`.
    """

    def __init__(self, encoder: nn.Module, classes: int, width: int = 64) -> None:
        super().__init__()
        self.encoder = encoder
        self.pyramid = FeaturePyramidNetwork(list(encoder.out_channels), width)
        self.classify = nn.Conv2d(width, classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        maps = OrderedDict(enumerate(self.encoder(image)))
        finest, *others = self.pyramid(maps).values()
        size = finest.shape[2:]
        merged = finest + sum(F.interpolate(x, size, mode='bilinear') for x in others)
        return F.interpolate(self.classify(merged), image.shape[2:], mode='bilinear')


def scenes(count: int, side: int = 64) -> tuple[Tensor, Tensor]:
    """Return noisy images `(b, 3, side, side)` of two shapes, and their label maps."""
    labels = torch.zeros(count, side, side, dtype=torch.long)
    for label in labels:
        top, left = torch.randint(0, side // 2, (2,)).tolist()
        label[:, (left + side // 2) % side : (left + side // 2) % side + side // 8] = 2
        label[top : top + side // 3, left : left + side // 3] = 1
    colours = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 0, 1]])
    images = colours[labels].permute(0, 3, 1, 2)
    return images + 0.5 * torch.randn_like(images), labels


def main(arguments: list[str] | None = None) -> float:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument(
        '--checkpoint', help='of a ViM2-T; else a small one, from random'
    )
    parser.add_argument('--steps', type=int, default=60)
    args = parser.parse_args(arguments)
    torch.manual_seed(0)
    start = dict(checkpoint=args.checkpoint) if args.checkpoint else dict(arch=SMALL)
    model = Segmenter(vim2_backbone(**start), len(CLASSES))
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for step in range(1, args.steps + 1):
        images, labels = scenes(8)
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 10 == 0:
            print(f'step {step}  loss {loss.item():.3f}')
    model.eval()
    images, labels = scenes(32)
    with torch.no_grad():
        right = (model(images).argmax(1) == labels).float().mean().item()
    print(f'pixels that are right: {100 * right:.1f} %')
    return right


if __name__ == '__main__':
    main()
