"""ViM2 as timm's models are: a backbone, a classifier, and what timm asks of both."""

from collections.abc import Sequence

import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.layers import ClassifierHead, is_scriptable, register_notrace_module
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models._features import feature_take_indices as take_indices
from torch import Tensor, nn
from torchvision.ops import Permute

from ..models import ViM2
from ..models.backbones.vim2 import init_linear
from ..models.layers import channels_first

STRIDE = 4
"""Of the first stage; each further one has twice that of the one before."""

register_notrace_module(ViM2)  # torch.fx takes it as one node: its scans are our ops


class ViM2Classifier(nn.Module):
    """`ViM2` and a linear classifier, with the interface of timm's models.

    Image `(b, in_chans, H, W)` -> logits `(b, num_classes)`. The names of its tensors
    are those of an mmpretrain `ImageClassifier` with `LinearClsHead`, so each loads the
    other's checkpoints.

    Args:
        num_classes: Classes; 0 leaves the classifier out.
        in_chans: Channels of the image.
        global_pool: One of timm's poolings; '' is none, which needs `num_classes=0`.
        drop_rate: Dropout in front of the classifier.
        **settings: Arguments of `ViM2`; its `out_indices` stays at the last stage.

    Raises:
        ValueError: As `ViM2`.
    """

    def __init__(
        self,
        *,
        num_classes: int = 1000,
        in_chans: int = 3,
        global_pool: str = 'avg',
        drop_rate: float = 0.0,
        **settings,
    ) -> None:
        super().__init__()
        self.backbone = ViM2(in_channels=in_chans, **settings)
        dims = self.backbone.embed_dims
        self.feature_info = [
            dict(num_chs=dim, reduction=STRIDE << i, module=f'backbone.stages.{i}')
            for i, dim in enumerate(dims)
        ]
        self.num_classes, self.num_features = num_classes, dims[-1]
        self.drop_rate = drop_rate
        self.head = ClassifierHead(dims[-1], num_classes, global_pool, drop_rate)
        self._reset_head()

    def _reset_head(self) -> None:
        init_linear(self.head.fc)
        self.head_hidden_size = self.num_features * self.head.global_pool.feat_mult()

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the normed map of the last stage, `(b, num_features, h, w)`."""
        return self.backbone(x)[-1]

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Return logits, or what the classifier is given if `pre_logits`."""
        return self.head(x, pre_logits=pre_logits)

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | Sequence[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = 'NCHW',
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """Return the maps of stages, `(b, c, h, w)`, and the last one as the head's.

        Args:
            x: Image.
            indices: Stages; the last n if a number, all if None.
            norm: Give the last stage's map through the output norm.
            stop_early: Do not compute stages behind the last that is asked for.
            output_fmt: 'NCHW'.
            intermediates_only: Return the list alone.

        Raises:
            ValueError: If `output_fmt` is another one.
        """
        if output_fmt != 'NCHW':
            raise ValueError(f"output_fmt of ViM2 must be 'NCHW', got {output_fmt!r}")
        stages = self.backbone.stages
        taken, last = take_indices(len(stages), indices)
        output_norm = getattr(self.backbone, f'norm{len(stages) - 1}')
        x, maps = self.backbone.stem(x), []
        for i, stage in enumerate(stages[: last + 1] if stop_early else stages):
            x = stage(x)  # (b, h, w, c)
            if i in taken:
                normed = norm and i == len(stages) - 1
                maps.append(output_norm(x) if normed else channels_first(x))
        if intermediates_only:
            return maps
        complete = i == len(stages) - 1
        return (output_norm(x) if complete else channels_first(x)), maps

    def prune_intermediate_layers(
        self,
        indices: int | Sequence[int] = 1,
        prune_norm: bool = False,
        prune_head: bool = True,
    ) -> list[int]:
        """Remove the stages behind those that are asked for; return their indices.

        Args:
            indices: As in `forward_intermediates`.
            prune_norm: Remove the output norm, which goes with the last stage too.
            prune_head: Remove the classifier.
        """
        backbone, count = self.backbone, len(self.backbone.stages)
        taken, last = take_indices(count, indices)
        if prune_norm or last < count - 1:
            delattr(backbone, f'norm{count - 1}')
            setattr(backbone, f'norm{last}', Permute([0, 3, 1, 2]))
        backbone.stages, backbone.out_indices = backbone.stages[: last + 1], (last,)
        if prune_head:
            self.reset_classifier(0, '')
        return taken

    def get_classifier(self) -> nn.Module:
        """Return the linear layer in front of the logits."""
        return self.head.fc

    def reset_classifier(self, num_classes: int, global_pool: str | None = None):
        """Start the classifier anew, for another number of classes; 0 removes it."""
        self.num_classes = num_classes
        self.head.reset(num_classes, global_pool)
        self._reset_head()

    @torch.jit.ignore
    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute each mixer in the backward to save memory, or do not."""
        for stage in self.backbone.stages:
            stage.with_cp = enable

    @torch.jit.ignore
    def group_matcher(self, coarse: bool = False) -> dict:
        """Return the patterns of layers: stem, mixers (or stages), all that follows."""
        stage = r'^backbone\.stages\.(\d+)'
        fine = [
            (rf'{stage}\.downsample', (0,)),  # belongs to the mixer after it
            (rf'{stage}\.(?:mixers|averages)\.(\d+)', None),
        ]
        return dict(stem=r'^backbone\.stem', blocks=stage if coarse else fine)

    @torch.jit.ignore
    def no_weight_decay(self) -> set[str]:
        """Return the parameters of the scans; timm leaves vectors out by itself."""
        names = (name for name, _ in self.named_parameters())
        return {name for name in names if name.endswith(('A_log', '.D', 'dt_bias'))}


def _cfg() -> dict:
    return dict(
        url='',
        num_classes=1000,
        input_size=(3, 224, 224),
        pool_size=(7, 7),
        crop_pct=0.875,
        interpolation='bicubic',
        mean=IMAGENET_DEFAULT_MEAN,
        std=IMAGENET_DEFAULT_STD,
        first_conv='backbone.stem.proj',
        classifier='head.fc',
        license='apache-2.0',
        paper_ids='arXiv:2403.19888',
    )


default_cfgs = generate_default_cfgs(
    {'vim2_tiny': _cfg(), 'vim2_small': _cfg(), 'vim2_base': _cfg()}
)


def _create(variant: str, pretrained: bool, settings: dict) -> nn.Module:
    if is_scriptable():
        raise ValueError(
            f'{variant} cannot be scripted: TorchScript does not know its ops; '
            'torch.export and torch.compile do'
        )
    if settings.get('feature_cls', 'getter') != 'getter':
        raise ValueError(
            f"{variant} gives features with feature_cls='getter' only, which is its "
            f'default, got {settings["feature_cls"]!r}'
        )
    return build_model_with_cfg(
        ViM2Classifier,
        variant,
        pretrained,
        feature_cfg=dict(out_indices=(0, 1, 2, 3), feature_cls='getter'),
        **settings,
    )


@register_model
def vim2_tiny(pretrained: bool = False, **kwargs) -> nn.Module:
    """ViM2-T; see `ViM2Classifier`."""
    return _create('vim2_tiny', pretrained, dict(arch='tiny') | kwargs)


@register_model
def vim2_small(pretrained: bool = False, **kwargs) -> nn.Module:
    """ViM2-S; see `ViM2Classifier`."""
    return _create('vim2_small', pretrained, dict(arch='small') | kwargs)


@register_model
def vim2_base(pretrained: bool = False, **kwargs) -> nn.Module:
    """ViM2-B; see `ViM2Classifier`."""
    return _create('vim2_base', pretrained, dict(arch='base') | kwargs)
