"""Where the token mixers select, as further outputs of a network.

Axis letters: b batch, g scans, h w map of a stage.
"""

from dataclasses import replace

from torch import Tensor, nn

from ..analysis import mixer_names, watch_selections
from ..models.backbones import ViM2
from .networks import Network


class Selecting(nn.Module):
    """A network that also gives delta of each token mixer, `(b, g, h, w)`.

    Delta is the mean over the features, in image coordinates
    (`mmmambamixer.analysis.Selection`).

    Args:
        network: From its inputs to a tuple of outputs; it runs the backbone once.
        backbone: Of the network.
    """

    def __init__(self, network: nn.Module, backbone: ViM2) -> None:
        super().__init__()
        self.network, self.backbone = network, backbone

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        with watch_selections(self.backbone, kinds=('token',)) as found:
            outputs = self.network(*inputs)
        return *outputs, *(one.delta for one in found)


def with_selection(network: Network, model: nn.Module) -> Network:
    """Return the network with an output `delta_STAGE_NUMBER` for each token mixer.

    Stages and mixers count from 1. The fact `selection` names the routes of the scans
    of each of these outputs.

    Args:
        network: Of the model.
        model: Its backbone, or the model itself, is a ViM2.

    Raises:
        ValueError: If there is no token mixer.
    """
    backbone = getattr(model, 'backbone', model)
    routes = {}
    if isinstance(backbone, ViM2):
        for i, stage in enumerate(backbone.stages, 1):
            for (kind, j), unit in zip(mixer_names(stage), stage.mixers, strict=True):
                if kind == 'token':
                    scans = unit.mixer.s6.routes
                    routes[f'delta_{i}_{j}'] = [route.name.lower() for route in scans]
    if not routes:
        raise ValueError(
            '--with-selection needs a ViM2 with token mixers, and this '
            f'{type(model).__name__} has none: leave the option out'
        )
    return replace(
        network,
        module=Selecting(network.module, backbone).eval(),
        outputs=(*network.outputs, *routes),
        facts=network.facts | dict(selection=routes),
    )
