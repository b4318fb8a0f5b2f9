"""ViM2, the vision backbone of MambaMixer, and VMamba's first version inside it."""

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from mmengine.model import BaseModule
from mmengine.registry import MODELS as MMENGINE_MODELS
from torch import Tensor, nn

from mmmambamixer.registry import MODELS

from ..layers import (
    MLP,
    ImageStem,
    MapNorm,
    MixerUnit,
    PatchMerging,
    SelectiveChannelMixer,
    SelectiveTokenMixer,
    Stage,
)
from ..weight_decay import PARAMWISE_CFG
from .arguments import check_arguments, check_image, resolve_arch
from .pretrained import check_pretrained, pretrained_settings

TOKENS_PER_CHANNEL_MIXER = 2


def vmamba(embed_dims: Sequence[int], depths: Sequence[int]) -> dict:
    """Return the arch of VMamba's first version: token mixers in a plain chain."""
    return dict(
        embed_dims=embed_dims, depths=depths, channel_mixer='none', averaging=False
    )


@MODELS.register_module()
@MMENGINE_MODELS.register_module()
class ViM2(BaseModule):
    """Hierarchical backbone of selective token and channel mixers.

    Image `(b, in_channels, H, W)` of any size -> tuple of maps
    `(b, embed_dims[i], ceil(H / s), ceil(W / s))`, s = 4, 8, 16, 32, each through a
    LayerNorm of its own. One channel mixer follows every two token mixers.

    The ablations are arguments: `channel_mixer='none'` (token mixers only);
    `channel_mixer='mlp', averaging=False` (ViM2-MLP); `channel_scans=1 | 2 | 4`;
    `averaging=False` or `max_connections`.

    Args:
        arch: A name in `arch_settings`, or a dict with the keys `embed_dims` and
            `depths` (token mixers of each stage) and, optionally, `channel_expand`
            (width inside the channel mixers over channels, for each stage; 2, in the
            last stage 1), `channel_mixer` and `averaging` (see these arguments).
        in_channels: Channels of the image.
        out_indices: Stages whose maps are returned; `out_channels` has their widths.
        drop_path_rate: Probability of dropping the last mixer for a sample; it grows
            linearly from 0 at the first.
        channel_mixer: 'selective', 'mlp' or 'none'; if None the arch decides, which is
            'selective' except for VMamba.
        channel_scans: Scans of a channel mixer: 4, 2 (bidirectional) or 1.
        averaging: Feed every mixer a learned average of all earlier maps of its stage;
            if None the arch decides, which is True except for VMamba.
        max_connections: Average at most so many of the newest maps; None is all.
        d_state: States of the scans, n.
        grid_size: Side of the token grid of the channel mixers, p.
        frozen_stages: Freeze the stem and the stages up to this index; -1 is none.
        norm_eval: Keep the norms in eval mode. It changes no result (LayerNorm has no
            running statistics); OpenMMLab configs may set it.
        with_cp: Recompute each mixer in the backward to save memory.
        init_cfg: Initialisation by MMEngine; the constructor has initialised already.
            A `Pretrained` checkpoint must fit, up to output norms (see
            `check_pretrained`).

    Raises:
        ValueError: If an argument or the image does not fit; the message says what was
            expected and what came.
        TypeError: If the image is no tensor of floating point numbers.

    Reference: MambaMixer, arXiv:2403.19888, sections 3, 4, Table 8; VMamba,
    arXiv:2401.10166.
    Differs from the paper: which does not tell the order of the mixers, the way between
    stages and the start; ours are two token mixers then one channel mixer, patch
    merging as in VMamba, and linear maps drawn from a truncated normal distribution of
    deviation 0.02 as in VMamba. Each output has its own norm. See also the layers.
    """

    arch_settings: ClassVar = {
        'tiny': dict(embed_dims=(96, 192, 384, 768), depths=(2, 2, 6, 2)),
        'small': dict(embed_dims=(96, 192, 384, 768), depths=(2, 2, 18, 2)),
        'base': dict(embed_dims=(128, 256, 512, 1024), depths=(2, 2, 18, 2)),
        'vmamba_tiny': vmamba((96, 192, 384, 768), (2, 2, 9, 2)),
        'vmamba_small': vmamba((96, 192, 384, 768), (2, 2, 27, 2)),
        'vmamba_base': vmamba((128, 256, 512, 1024), (2, 2, 27, 2)),
    }
    num_extra_tokens = 0
    paramwise_cfg: ClassVar = PARAMWISE_CFG
    """For `optim_wrapper` in configs: only matrices and convolutions decay."""

    def __init__(
        self,
        *,
        arch: str | dict = 'tiny',
        in_channels: int = 3,
        out_indices: Sequence[int] = (3,),
        drop_path_rate: float = 0.1,
        channel_mixer: str | None = None,
        channel_scans: int = 4,
        averaging: bool | None = None,
        max_connections: int | None = None,
        d_state: int = 16,
        grid_size: int = 7,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.pretrained = pretrained_settings(init_cfg)
        arch = resolve_arch(
            arch, self.arch_settings, channel_mixer=channel_mixer, averaging=averaging
        )
        dims, depths = arch['embed_dims'], arch['depths']
        check_arguments(
            len(dims),
            out_indices=out_indices,
            frozen_stages=frozen_stages,
            drop_path_rate=drop_path_rate,
            channel_scans=channel_scans,
            flags=dict(norm_eval=norm_eval, with_cp=with_cp),
            sizes=dict(in_channels=in_channels, d_state=d_state, grid_size=grid_size),
        )
        self.embed_dims, self.depths = tuple(dims), tuple(depths)
        self.in_channels = in_channels
        self.out_indices = tuple(out_indices)
        self.out_channels = tuple(dims[i] for i in out_indices)
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval

        orders = [mixer_order(depth, arch['channel_mixer']) for depth in depths]
        self.num_mixers = tuple(len(order) for order in orders)
        rates = torch.linspace(0, drop_path_rate, sum(self.num_mixers), device='cpu')
        rates = iter(rates.tolist())
        self.stem = ImageStem(in_channels=in_channels, d_model=dims[0])
        self.stages = nn.ModuleList()
        for i, (width, order) in enumerate(zip(dims, orders, strict=True)):
            make = mixer_makers(
                width, arch['channel_expand'][i], channel_scans, d_state, grid_size
            )
            units = [
                MixerUnit(mixer=make[kind](), d_model=width, drop_prob=next(rates))
                for kind in order
            ]
            merging = PatchMerging(d_model=dims[i - 1], d_out=width) if i else None
            stage = Stage(
                mixers=units,
                downsample=merging,
                averaging=arch['averaging'],
                max_connections=max_connections,
                with_cp=with_cp,
            )
            self.stages.append(stage)
        for i in self.out_indices:
            self.add_module(f'norm{i}', MapNorm(dims[i]))
        self.apply(init_linear)
        self._freeze()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        check_image(x, self.in_channels)
        x = self.stem(x)
        outs = []
        for i, stage in enumerate(self.stages):
            x = stage(x)  # (b, h, w, c)
            if i in self.out_indices:
                outs.append(getattr(self, f'norm{i}')(x))  # (b, c, h, w)
        return tuple(outs)

    def init_weights(self) -> None:
        """Initialise as `init_cfg` says.

        Raises:
            ValueError: If a `Pretrained` checkpoint does not fit this backbone.
        """
        if not self.is_init:
            self.check_starting_weights()
        super().init_weights()

    def check_starting_weights(self) -> None:
        """Raise ValueError if a `Pretrained` checkpoint does not fit this backbone."""
        if self.pretrained:
            check_pretrained(self, self.pretrained)

    def train(self, mode: bool = True) -> 'ViM2':
        """Set the mode; frozen parts, and norms if `norm_eval`, stay in eval mode."""
        super().train(mode)
        self._freeze()
        if self.norm_eval:
            for module in self.modules():
                if isinstance(module, nn.LayerNorm):
                    module.eval()
        return self

    def _freeze(self) -> None:
        if self.frozen_stages < 0:
            return
        frozen = [self.stem, *self.stages[: self.frozen_stages + 1]]
        norms = (i for i in self.out_indices if i <= self.frozen_stages)
        frozen += [getattr(self, f'norm{i}') for i in norms]
        for module in frozen:
            module.eval().requires_grad_(False)

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Return the depth of a parameter and the number of depths.

        For layer-wise learning rates: the stem is 0, each mixer one more (downsampling
        belongs to the mixer after it, an average to the mixer it feeds), the output
        norms and whatever follows the backbone are last.

        Args:
            param_name: Name of the parameter in the whole model.
            prefix: What stands before the names of the backbone.
        """
        num_layers = sum(self.num_mixers) + 2
        if not param_name.startswith(prefix):
            return num_layers - 1, num_layers
        part, *rest = param_name.removeprefix(prefix).split('.')
        if part == 'stem':
            return 0, num_layers
        if part == 'stages':
            i, kind = int(rest[0]), rest[1]
            j = 0 if kind == 'downsample' else int(rest[2])
            return sum(self.num_mixers[:i]) + j + 1, num_layers
        return num_layers - 1, num_layers


def mixer_order(depth: int, channel_mixer: str) -> list[str]:
    """Return the kinds of a stage's mixers: a channel mixer after every two tokens."""
    order = []
    for j in range(1, depth + 1):
        order.append('token')
        if channel_mixer != 'none' and j % TOKENS_PER_CHANNEL_MIXER == 0:
            order.append(channel_mixer)
    return order


def mixer_makers(
    d_model: int, expand: int, channel_scans: int, d_state: int, grid_size: int
) -> dict[str, Callable[[], nn.Module]]:
    """Return the constructor of each kind of mixer, with the sizes of a stage."""
    return {
        'token': lambda: SelectiveTokenMixer(d_model=d_model, d_state=d_state),
        'mlp': lambda: MLP(d_model=d_model, expand=expand),
        'selective': lambda: SelectiveChannelMixer(
            d_model=d_model,
            expand=expand,
            scans=channel_scans,
            d_state=d_state,
            grid_size=grid_size,
        ),
    }


def init_linear(module: nn.Module) -> None:
    """Draw the weight of a linear layer; the SSM parameters are none and stay."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
