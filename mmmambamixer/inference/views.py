"""Models that merge several views of an image: test-time augmentation."""

from mmengine.config import Config, ConfigDict
from mmengine.model import BaseTTAModel
from mmengine.registry import MODELS
from torch import nn

from ..wrappers import merges_views, unwrapped

NMS = dict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=100)
MERGERS: dict[str, dict] = dict(
    mmpretrain=dict(type='mmpretrain.AverageClsScoreTTA'),
    mmdet=dict(type='DetTTAModel', tta_cfg=NMS),
    mmseg=dict(type='mmseg.SegTTAModel'),
)
"""`tta_model` where a config has none, by scope."""


def wrap(config: Config) -> None:
    """Have the model of a config merge views, unless it is one that does.

    Raises:
        ValueError: If there is no `tta_model` in the config, and none of its scope.
    """
    scope = config.get('default_scope')
    kind = config.model.get('type')
    if isinstance(kind, str):
        with MODELS.switch_scope_and_registry(scope) as registry:
            kind = registry.get(kind)
    if isinstance(kind, type) and issubclass(kind, BaseTTAModel):
        return
    merger = config.get('tta_model') or MERGERS.get(scope)
    if merger is None:
        raise ValueError(
            f'test-time augmentation in the scope {scope} needs tta_model in the config'
        )
    config.model = ConfigDict(**merger, module=config.model)


def check_merged(model: nn.Module, option: str) -> None:
    """Raise ValueError if views are merged and masks would be lost.

    Args:
        model: Of a test.
        option: What asks for views, in the message.
    """
    if merges_views(model) and getattr(unwrapped(model), 'with_mask', False):
        raise ValueError(
            "mmdet's test-time augmentation merges boxes only, and this model predicts "
            f'masks too: leave out {option}'
        )
