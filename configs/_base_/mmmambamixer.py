"""First base of every config: ViM2, `mmdet::` bases, runs that can be trusted.

It must come first in `_base_`: the bases after it are looked up with its help.
"""

# An expression, because an `import` statement would make this a lazy config. The
# bases that follow need it at once; `custom_imports` keeps it in dumped configs.
__import__('mmmambamixer.patches')

custom_imports = dict(
    imports=['mmmambamixer', 'mmmambamixer.patches'], allow_failed_imports=False
)
runner_type = 'SafeRunner'

# For `optim_wrapper.paramwise_cfg`: only matrices and convolutions decay. A config says
# `paramwise_cfg={{_base_.decay}}`; it is `ViM2.paramwise_cfg`.
decay = dict(
    norm_decay_mult=0.0,
    bias_decay_mult=0.0,
    flat_decay_mult=0.0,
    custom_keys={
        '.s6.A_log': dict(decay_mult=0.0),
        '.s6.D': dict(decay_mult=0.0),
        '.s6.dt_bias': dict(decay_mult=0.0),
    },
)
