"""First base of every config: ViM2, `mmdet::` bases, safe checkpoints.

It must come first in `_base_`: the bases after it are looked up with its help.
"""

# An expression, because an `import` statement would make this a lazy config. The
# bases that follow need it at once; `custom_imports` keeps it in dumped configs.
__import__('mmmambamixer.compat')

custom_imports = dict(
    imports=['mmmambamixer', 'mmmambamixer.compat'], allow_failed_imports=False
)
runner_type = 'PlainCheckpointRunner'
