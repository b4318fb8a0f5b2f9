"""From a config and a checkpoint to the network that is exported."""

from dataclasses import replace
from typing import Any

from mmengine.config import Config
from torch import nn

from ..engine.build import build_model, load_weights
from ..forecast.trained import TrainedForecaster
from ..inference.model import load_model
from ..inference.steps import test_dataset
from ..preflight.config import check_sections
from ..preflight.series import FORECASTING
from .networks import BATCH, HEIGHT, WIDTH, Entry, Network, network_of
from .preprocessing import Half, Pictures, Prepared, Units, input_size, resize_of
from .selection import with_selection

USUAL = (224, 224)
"""Input size where the config names none."""


def load_network(
    config: Config, checkpoint: str, *, prepared: bool, selection: bool = False
) -> Network:
    """Return the network of a config with the weights of a checkpoint, in eval mode.

    Args:
        config: Of a classifier, segmenter, detector, backbone or forecaster.
        checkpoint: Path; it must fit exactly.
        prepared: Whether the network takes pictures, or series in their own units.
        selection: Whether it also gives delta of each token mixer.

    Raises:
        ValueError: If the model, or its preprocessing, cannot be exported, or the
            checkpoint does not fit.
    """
    if config.get('default_scope') == FORECASTING:
        if selection:
            raise ValueError(
                '--with-selection is for images, and this config is of a forecaster: '
                'leave the option out'
            )
        return _forecaster(config, checkpoint, prepared)
    check_sections(config, ['model'], 'export')
    if 'backbone' in config.model:
        model = load_model(config, checkpoint, 'cpu')
    else:
        model = build_model(config)
        load_weights(model, checkpoint)
    network = network_of(model.eval())
    network.facts |= getattr(model, 'dataset_meta', {})
    if selection:
        network = with_selection(network, model)
    return _images(network, model, config, prepared)


def halved(network: Network) -> Network:
    """Return the network in fp16; what stands before and behind it stays in fp32."""
    outer = network.module
    if isinstance(outer, Prepared):
        half = Prepared(outer.prepare, Half(outer.network))
    elif isinstance(outer, Units):
        half = Units(Half(outer.network), outer.mean, outer.std, outer.targets)
    else:
        half = Half(outer)
    return replace(network, module=half.eval())


def _images(
    network: Network, model: nn.Module, config: Config, prepared: bool
) -> Network:
    preprocessor = getattr(model, 'data_preprocessor', None)
    pipeline = test_dataset(config).pipeline if 'test_dataloader' in config else []
    size = input_size(pipeline) or USUAL
    facts: dict[str, Any] = dict(
        input_size=list(size), preprocessing='inside' if prepared else 'none'
    )
    normalises = getattr(preprocessor, '_enable_normalize', False)
    switches = ('to_rgb', 'channel_conversion', '_channel_conversion')
    reads_rgb = any(getattr(preprocessor, name, False) for name in switches)
    if normalises:
        facts['mean'] = preprocessor.mean.flatten().tolist()
        facts['std'] = preprocessor.std.flatten().tolist()
        facts['channel_order'] = 'RGB' if reads_rgb else 'BGR'
    network.facts |= facts
    if not prepared:
        return network
    if not normalises or len(facts['mean']) != 3:
        raise ValueError(
            '--with-preprocessing needs a data_preprocessor with mean and std of three '
            'channels, and this config has none: leave the option out'
        )
    classifies = network.task == 'classification'
    prepare = Pictures(
        mean=facts['mean'],
        std=facts['std'],
        reads_rgb=reads_rgb,
        resize=resize_of(pipeline) if classifies else None,
    )
    network.facts['channel_order'] = 'RGB'
    network.inputs = {'image': Entry((BATCH, HEIGHT, WIDTH, 3), pixels=True)}
    network.module = Prepared(prepare, network.module).eval()
    return network


def _forecaster(config: Config, checkpoint: str, prepared: bool) -> Network:
    trained = TrainedForecaster.load(config, checkpoint, 'cpu')
    network = network_of(trained.model)
    scaling: dict[str, Any] = trained.scaling.state()
    network.facts |= dict(
        variates=list(trained.variates),
        targets=trained.targets,
        quantiles=trained.model.quantiles or [],
        preprocessing='inside' if prepared else 'none',
        **scaling,
    )
    if prepared:
        units = Units(network.module, targets=trained.targets, **scaling)
        network.module = units.eval()
        network.inputs['past'] = replace(network.inputs['past'], **scaling)
    return network
