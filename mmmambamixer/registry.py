"""Registries of this package: children of MMEngine's, found by the prefix of a type.

`type='mmmambamixer.ViM2'` in any config makes MMEngine import this module, which
loads the models when they are first looked up: no `custom_imports` needed. With
`default_scope = 'mmmambamixer'`, as the configs of TSM2 have it, the prefix may go.
"""

try:
    import mmengine.registry as mmengine_registry
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

SCOPE = 'mmmambamixer'


def child(parent: Registry, *locations: str) -> Registry:
    """Return a registry of this package below one of MMEngine's.

    Args:
        parent: Looked through too where this one has no such name.
        locations: Modules that register into it, imported when it is first used.
    """
    return Registry(parent.name, parent=parent, scope=SCOPE, locations=list(locations))


MODELS = child(mmengine_registry.MODELS, 'mmmambamixer.models')
DATASETS = child(mmengine_registry.DATASETS, 'mmmambamixer.datasets')
DATA_SAMPLERS = child(mmengine_registry.DATA_SAMPLERS, 'mmmambamixer.datasets')
METRICS = child(mmengine_registry.METRICS, 'mmmambamixer.evaluation')
HOOKS = child(mmengine_registry.HOOKS, 'mmmambamixer.engine', 'mmmambamixer.forecast')
OPTIM_WRAPPERS = child(mmengine_registry.OPTIM_WRAPPERS, 'mmmambamixer.engine')
OPTIM_WRAPPER_CONSTRUCTORS = child(
    mmengine_registry.OPTIM_WRAPPER_CONSTRUCTORS, 'mmmambamixer.engine'
)

# The default scope wants a registry of every kind that a run builds.
INHERITED = [
    child(parent)
    for parent in (
        mmengine_registry.EVALUATOR,
        mmengine_registry.FUNCTIONS,
        mmengine_registry.LOG_PROCESSORS,
        mmengine_registry.LOOPS,
        mmengine_registry.MODEL_WRAPPERS,
        mmengine_registry.OPTIMIZERS,
        mmengine_registry.PARAM_SCHEDULERS,
        mmengine_registry.RUNNERS,
        mmengine_registry.TRANSFORMS,
        mmengine_registry.VISBACKENDS,
        mmengine_registry.VISUALIZERS,
        mmengine_registry.WEIGHT_INITIALIZERS,
    )
]
