"""Registries of this package: children of MMEngine's, found by the prefix of a type.

`type='mmmambamixer.ViM2'` in any config makes MMEngine import this module, which
loads the models when they are first looked up: no `custom_imports` needed.
"""

try:
    from mmengine.registry import HOOKS as MMENGINE_HOOKS
    from mmengine.registry import MODELS as MMENGINE_MODELS
    from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS as MMENGINE_CONSTRUCTORS
    from mmengine.registry import Registry
except ModuleNotFoundError as error:
    if error.name != 'mmengine':
        raise
    raise ModuleNotFoundError(
        'mmmambamixer needs MMEngine, which comes with one of two families: '
        'install `mmmambamixer[openmmlab]` (mmengine) or `mmmambamixer[onedl]` '
        '(onedl-mmengine)',
        name='mmengine',
    ) from error

MODELS = Registry(
    'model',
    parent=MMENGINE_MODELS,
    scope='mmmambamixer',
    locations=['mmmambamixer.models'],
)
OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    'optimizer wrapper constructor',
    parent=MMENGINE_CONSTRUCTORS,
    scope='mmmambamixer',
    locations=['mmmambamixer.engine'],
)
HOOKS = Registry(
    'hook',
    parent=MMENGINE_HOOKS,
    scope='mmmambamixer',
    locations=['mmmambamixer.engine'],
)
