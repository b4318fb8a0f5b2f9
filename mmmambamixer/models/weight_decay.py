"""Which parameters of our models decay: matrices and convolutions only."""

PARAMWISE_CFG = dict(
    norm_decay_mult=0.0,
    bias_decay_mult=0.0,
    flat_decay_mult=0.0,  # averaging weights and the bias of the channel conv
    custom_keys={
        f'.s6.{name}': dict(decay_mult=0.0) for name in ('A_log', 'D', 'dt_bias')
    },
)
"""For `optim_wrapper` in configs; text configs have it as `{{_base_.decay}}`."""
