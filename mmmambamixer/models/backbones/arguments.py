"""Whether the arguments of ViM2 make a network, and whether an image fits it."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from mmmambamixer.arguments import check_flags, check_rates, check_whole
from mmmambamixer.messages import did_you_mean

CHANNEL_MIXERS = ('selective', 'mlp', 'none')
CHANNEL_SCANS = (4, 2, 1)
REQUIRED = {'embed_dims', 'depths'}
OPTIONAL = {'channel_expand', 'channel_mixer', 'averaging'}


def resolve_arch(arch: str | Mapping, settings: Mapping, **arguments) -> dict:
    """Return all keys of `arch`; arguments that are not None win over it.

    Raises:
        ValueError: If the name is not in `settings`, or keys or values do not fit.
    """
    if isinstance(arch, str):
        if arch not in settings:
            raise ValueError(
                f'arch must be one of {", ".join(settings)}, got {arch!r}'
                + did_you_mean(arch, settings)
            )
        arch = settings[arch]
    if not isinstance(arch, Mapping):
        raise ValueError(f'arch must be a name or a dict, got {arch!r}')
    if not REQUIRED <= set(arch) <= REQUIRED | OPTIONAL:
        raise ValueError(
            f'a custom arch needs the keys {sorted(REQUIRED)} and may have '
            f'{sorted(OPTIONAL)}, got {sorted(arch)}'
        )
    arch = {'channel_mixer': 'selective', 'averaging': True, **arch}
    arch |= {key: value for key, value in arguments.items() if value is not None}
    check_positive('embed_dims', arch['embed_dims'])
    stages = len(arch['embed_dims'])
    arch.setdefault('channel_expand', (2,) * (stages - 1) + (1,))
    for key in ('depths', 'channel_expand'):
        check_positive(key, arch[key])
        if len(arch[key]) != stages:
            raise ValueError(
                f'arch must have as many {key} as embed_dims, {stages}, got '
                f'{len(arch[key])}'
            )
    if arch['channel_mixer'] not in CHANNEL_MIXERS:
        raise ValueError(
            f'channel_mixer must be one of {", ".join(CHANNEL_MIXERS)}, '
            f'got {arch["channel_mixer"]!r}'
        )
    if not isinstance(arch['averaging'], bool):
        raise ValueError(
            f'averaging must be True or False, got {arch["averaging"]!r}; '
            'for a window set max_connections'
        )
    return arch


def check_arguments(
    stages: int,
    *,
    out_indices: Sequence[int],
    frozen_stages: int,
    drop_path_rate: float,
    channel_scans: int,
    flags: Mapping[str, bool],
    sizes: Mapping[str, int],
) -> None:
    """Raise ValueError unless the arguments fit a network of so many stages.

    Args:
        stages: Stages of the network.
        out_indices: Argument of ViM2.
        frozen_stages: Argument of ViM2.
        drop_path_rate: Argument of ViM2.
        channel_scans: Argument of ViM2.
        flags: Arguments that are True or False.
        sizes: Arguments that are at least 1.
    """
    chosen = []
    if isinstance(out_indices, Sequence) and not isinstance(out_indices, str):
        chosen = [i for i in range(stages) if i in out_indices]
    if not chosen or chosen != list(out_indices):
        raise ValueError(
            f'out_indices must name stages from 0 to {stages - 1} in ascending order, '
            f'got {out_indices}'
        )
    if frozen_stages not in range(-1, stages):
        raise ValueError(
            f'frozen_stages must be from -1 to {stages - 1}, got {frozen_stages}'
        )
    check_rates(drop_path_rate=drop_path_rate)
    if channel_scans not in CHANNEL_SCANS:
        raise ValueError(f'channel_scans must be 4, 2 or 1, got {channel_scans!r}')
    check_flags(**flags)
    check_whole(**sizes)


def check_image(x: Tensor, channels: int) -> None:
    """Raise unless an image is a floating point tensor `(b, channels, H, W)`.

    Raises:
        ValueError: If it has another shape or no pixel.
        TypeError: If it is no tensor, or not of floating point numbers.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f'the image must be a tensor, got {type(x).__name__}')
    if x.dim() != 4 or x.shape[1] != channels:
        raise ValueError(
            f'the image must have shape (b, {channels}, height, width), '
            f'got {tuple(x.shape)}'
        )
    if not x.is_floating_point():
        raise TypeError(
            f'the image must be of floating point numbers, got {x.dtype}: the data '
            'preprocessor makes them of pixels'
        )
    if 0 in x.shape[2:]:
        raise ValueError(
            f'the image must have at least one pixel, got {tuple(x.shape)}'
        )


def check_positive(name: str, values: Sequence[int]) -> None:
    """Raise ValueError unless all values are integers from 1."""
    if isinstance(values, str) or not isinstance(values, Sequence) or not values:
        raise ValueError(f'{name} must be a list of integers, got {values!r}')
    for value in values:
        check_whole(**{name: value})
