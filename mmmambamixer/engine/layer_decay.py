"""Layer-wise learning rates for a backbone in any of the frameworks."""

from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from ..registry import OPTIM_WRAPPER_CONSTRUCTORS

PREFIX = 'backbone.'


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """Lower the learning rate with the distance of a layer from the heads.

    Each group gets `lr * layer_decay_rate ** (depths - 1 - depth)`, where
    `model.backbone.get_layer_depth(name, prefix='backbone.')` tells depth and depths;
    what follows the backbone keeps its rate. The rules of MMEngine's default
    constructor, such as `custom_keys` with `lr_mult`, hold before that::

        optim_wrapper = dict(
            constructor='mmmambamixer.LayerDecayOptimWrapperConstructor',
            paramwise_cfg=dict(layer_decay_rate=0.9),
        )

    The constructors of mmpretrain and mmdet are for classifiers, or ConvNeXt, only.

    Args:
        optim_wrapper_cfg: Settings of the optimiser wrapper; the optimiser needs `lr`.
        paramwise_cfg: Those of the default constructor, and `layer_decay_rate`, in
            (0, 1].

    Raises:
        ValueError: If the rate or the model does not fit.
    """

    def __init__(
        self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None
    ) -> None:
        super().__init__(optim_wrapper_cfg, paramwise_cfg)
        rate = self.paramwise_cfg.get('layer_decay_rate')
        if not isinstance(rate, (int, float)) or not 0 < rate <= 1:
            raise ValueError(
                'layer-wise learning rates need paramwise_cfg=dict(layer_decay_rate='
                f'...) in (0, 1], got {rate!r}'
            )
        if self.base_lr is None:
            raise ValueError('layer-wise learning rates need an optimizer with lr=...')
        self.rate = rate

    def add_params(
        self, params: list[dict], module: nn.Module, prefix: str = '', **kwargs
    ) -> None:
        """Add a group for each parameter below `module`; MMEngine calls it."""
        super().add_params(params, module, prefix=prefix, **kwargs)
        if prefix:  # only the whole model knows the depths
            return
        backbone = getattr(module, 'backbone', None)
        if not hasattr(backbone, 'get_layer_depth'):
            raise ValueError(
                'layer-wise learning rates need a backbone with get_layer_depth, got '
                f'{type(backbone).__name__} in {type(module).__name__}'
            )
        names = {id(value): name for name, value in module.named_parameters()}
        for group in params:
            (parameter,) = group['params']
            depth, depths = backbone.get_layer_depth(names[id(parameter)], PREFIX)
            scale = self.rate ** (depths - 1 - depth)
            group['lr'] = group.get('lr', self.base_lr) * scale
