"""The model of a config without a runner, and the weights of a checkpoint."""

from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner.checkpoint import CheckpointLoader
from torch import nn

from ..checkpoints.fit import check_state_dict, state_dict_of
from ..checkpoints.load import load_local
from ..preflight.config import check_names, check_sections
from ..preflight.model import check_channels
from ..wrappers import unwrapped


def build_model(config: Config) -> nn.Module:
    """Return the model as a runner builds it on one device, where SyncBN is BN.

    Args:
        config: Its default scope becomes that of the process; a `data_preprocessor` at
            its top goes into the model.

    Raises:
        ValueError: If there is no model, its scope is no package, a name at the top is
            misspelt, or neck or heads do not fit the backbone.
    """
    check_names(config)
    check_sections(config, ['model'], 'a tool for models')
    init_default_scope(config.get('default_scope') or 'mmengine')
    if 'data_preprocessor' in config:
        config.model.setdefault('data_preprocessor', config.data_preprocessor)
    model = revert_sync_batchnorm(MODELS.build(config.model))
    check_channels(model)
    return model


def load_weights(model: nn.Module, path: str) -> dict:
    """Give a model the weights of a checkpoint; return the checkpoint's `meta`.

    Args:
        model: The model.
        path: Path or URL.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is refused, damaged, or does not fit the model exactly.
    """
    if '://' in path:
        checkpoint = CheckpointLoader.load_checkpoint(path, 'cpu', logger='silent')
    else:  # brings no code, whatever the loaders of MMEngine are
        checkpoint = load_local(path, 'cpu')
    check_state_dict(model, checkpoint, path)
    unwrapped(model).load_state_dict(state_dict_of(checkpoint, path))
    return checkpoint.get('meta', {})
