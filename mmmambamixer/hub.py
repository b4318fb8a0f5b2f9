"""ViM2 as `torch.hub` gives it: classifiers, and the backbone with its maps."""

from collections import OrderedDict

from torch import Tensor, nn

from .checkpoints.fit import check_state_dict, state_dict_of
from .checkpoints.load import load_local
from .models import ViM2
from .models.backbones.pretrained import fitting_weights
from .models.backbones.vim2 import init_linear


class Head(nn.Module):
    """Mean over the last of the maps, `(b, c, h, w)`, and a linear layer: logits."""

    def __init__(self, d_model: int, num_classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(d_model, num_classes)
        init_linear(self.fc)

    def forward(self, maps: tuple[Tensor, ...]) -> Tensor:
        return self.fc(maps[-1].mean((2, 3)))


def _classifier(settings: dict, num_classes: int, checkpoint, pretrained) -> nn.Module:
    _refuse(pretrained)
    backbone = ViM2(**settings)
    head = Head(backbone.embed_dims[-1], num_classes)
    model = nn.Sequential(OrderedDict(backbone=backbone, head=head))
    if checkpoint is not None:
        loaded = load_local(checkpoint, 'cpu')
        check_state_dict(model, loaded, str(checkpoint))
        model.load_state_dict(state_dict_of(loaded, str(checkpoint)))
    return model


def _refuse(pretrained: bool) -> None:
    if pretrained:
        raise ValueError(
            'there are no published weights of ViM2: leave out pretrained, or give a '
            'file of your own as checkpoint'
        )


def vim2_tiny(num_classes=1000, checkpoint=None, pretrained=False, **settings):
    """Return ViM2-T with a linear classifier: `(b, 3, H, W)` -> `(b, num_classes)`.

    Args:
        num_classes: Classes.
        checkpoint: File of an mmpretrain classifier on ViM2, `.pth` or `.safetensors`.
        pretrained: There are no published weights.
        **settings: Arguments of `mmmambamixer.ViM2`.

    Raises:
        ValueError: If the checkpoint does not fit, or an argument is not possible.
        FileNotFoundError: If there is no such checkpoint.
    """
    return _classifier(
        dict(arch='tiny') | settings, num_classes, checkpoint, pretrained
    )


def vim2_small(num_classes=1000, checkpoint=None, pretrained=False, **settings):
    """Return ViM2-S with a linear classifier; arguments as of `vim2_tiny`."""
    return _classifier(
        dict(arch='small') | settings, num_classes, checkpoint, pretrained
    )


def vim2_base(num_classes=1000, checkpoint=None, pretrained=False, **settings):
    """Return ViM2-B with a linear classifier; arguments as of `vim2_tiny`."""
    return _classifier(
        dict(arch='base') | settings, num_classes, checkpoint, pretrained
    )


def vim2_backbone(
    arch='tiny', out_indices=(0, 1, 2, 3), checkpoint=None, pretrained=False, **settings
):
    """Return `mmmambamixer.ViM2`: `(b, 3, H, W)` -> maps at 1/4, 1/8, 1/16, 1/32.

    Args:
        arch: 'tiny', 'small', 'base' or a dict; see `mmmambamixer.ViM2`.
        out_indices: Stages whose maps are returned.
        checkpoint: File with a ViM2, alone or as `backbone` of a classifier, detector
            or segmenter. Output norms that it lacks keep their initial values.
        pretrained: As in `vim2_tiny`.
        **settings: As in `vim2_tiny`.

    Raises:
        ValueError: As `vim2_tiny`.
        FileNotFoundError: As `vim2_tiny`.
    """
    _refuse(pretrained)
    model = ViM2(arch=arch, out_indices=out_indices, **settings)
    if checkpoint is not None:
        loaded, name = load_local(checkpoint, 'cpu'), str(checkpoint)
        state = state_dict_of(loaded, name)
        prefix = 'backbone.' if any(k.startswith('backbone.') for k in state) else ''
        given = dict(meta=loaded.get('meta', {}), state_dict=state)
        state = fitting_weights(model, given, name, prefix)
        model.load_state_dict(state, strict=False)
    return model
