"""Convert a checkpoint of VMamba's first version ("Vanilla-VMamba") to ViM2.

Usage:
    python tools/convert_vmamba.py SRC DST
    python tools/convert_vmamba.py SRC DST --to vim2-tiny

The first writes all weights for an mmpretrain `ImageClassifier` with the backbone
`ViM2(arch='vmamba_*')`, `GlobalAveragePooling` and `LinearClsHead`: its logits are
VMamba's. The second writes a warm start: the stem, the ways between the stages, the
output norm, the head, and one of VMamba's blocks for each token mixer of ViM2, spread
evenly from the first to the last where the depths differ. Channel mixers and averaging
weights are not in it and keep their initial values; the file lists them, so that ViM2
knows a warm start from a checkpoint that does not fit.

DST loads with `load_from`, or into a backbone alone with
`init_cfg=dict(type='Pretrained', checkpoint=DST, prefix='backbone.')`.
"""

import argparse
import re
from pathlib import Path

import torch
from torch import Tensor

from mmmambamixer import ViM2
from mmmambamixer.checkpoints.compare import check_numbers, first
from mmmambamixer.models.layers import SelectiveTokenMixer
from mmmambamixer.patches import load_local

OLD_SPELLING = {
    r'patch_embed\.proj\.': 'patch_embed.0.',
    r'patch_embed\.norm\.': 'patch_embed.2.',
    r'(layers\.\d+\.blocks\.\d+)\.ln_1\.': r'\1.norm.',
    r'(layers\.\d+\.blocks\.\d+)\.self_attention\.': r'\1.op.',
    r'(layers\.\d+)\.downsample\.norm\.': r'\1.downsample.1.',
    r'(layers\.\d+)\.downsample\.reduction\.': r'\1.downsample.2.',
    r'norm\.': 'classifier.norm.',
    r'head\.': 'classifier.head.',
}
OUTER = {
    'patch_embed.0': 'backbone.stem.proj',
    'patch_embed.2': 'backbone.stem.norm',
    'classifier.head': 'head.fc',
}
OF_A_BLOCK = {
    'norm.weight': 'norm.weight',
    'norm.bias': 'norm.bias',
    'op.conv2d.weight': 'mixer.conv.weight',
    'op.conv2d.bias': 'mixer.conv.bias',
    'op.x_proj_weight': 'mixer.s6.x_proj',
    'op.dt_projs_weight': 'mixer.s6.dt_weight',
    'op.dt_projs_bias': 'mixer.s6.dt_bias',
    'op.A_logs': 'mixer.s6.A_log',
    'op.Ds': 'mixer.s6.D',
    'op.out_norm.weight': 'mixer.norm.weight',
    'op.out_norm.bias': 'mixer.norm.bias',
    'op.out_proj.weight': 'mixer.out_proj.weight',
}
SCANS = 4
LATER = {
    'mlp': 'an MLP in each block',
    'norm2': 'two norms in each block',
    'patch_embed.7': 'another stem',
}
"""What only later versions have."""
SHOWN = 5
"""Problems that a message names."""
WARM_STARTS = ('vim2-tiny', 'vim2-small', 'vim2-base')


def load_vmamba(path: str) -> dict[str, Tensor]:
    """Return the tensors of a released checkpoint, in VMamba's newer spelling.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, holds other objects than tensors, or no `model`.
    """
    checkpoint = load_local(path)
    if not isinstance(checkpoint.get('model'), dict):
        raise ValueError(
            f'{path} must have the key `model`, a dict of tensors, it has the keys '
            f'{first(sorted(map(str, checkpoint))) or "none"}'
        )
    check_numbers(checkpoint['model'], path)
    state = {}
    for key, value in checkpoint['model'].items():
        for old, new in OLD_SPELLING.items():
            key, changed = re.subn(f'^{old}', new, key)
            if changed:
                break
        state[key] = value
    return state


def rename(key: str, value: Tensor, last: int) -> dict[str, Tensor]:
    """Return our tensors made from one of VMamba's; none if its name is unknown.

    Args:
        key: Name in VMamba's newer spelling.
        value: The tensor of that name.
        last: Index of the last stage, whose output norm is VMamba's `classifier.norm`.
    """
    module, _, kind = key.rpartition('.')
    if module in OUTER:
        return {f'{OUTER[module]}.{kind}': value}
    if module == 'classifier.norm':
        return {f'backbone.norm{last}.{kind}': value}
    if match := re.fullmatch(r'layers\.(\d+)\.downsample\.([12])', module):
        stage, part = int(match[1]) + 1, {'1': 'norm', '2': 'reduction'}[match[2]]
        return {f'backbone.stages.{stage}.downsample.{part}.{kind}': value}
    match = re.fullmatch(r'layers\.(\d+)\.blocks\.(\d+)\.(.+)', key)
    if match is None:
        return {}
    unit, name = f'backbone.stages.{match[1]}.mixers.{match[2]}', match[3]
    if name == 'op.in_proj.weight':
        v, z = value.chunk(2)
        return {
            f'{unit}.mixer.in_proj.weight': v,
            f'{unit}.mixer.gate_proj.weight': z,
        }
    if name in ('op.A_logs', 'op.Ds'):
        value = value.unflatten(0, (SCANS, -1))
    return {f'{unit}.{OF_A_BLOCK[name]}': value} if name in OF_A_BLOCK else {}


def read_arch(state: dict[str, Tensor]) -> dict:
    """Return the arguments of the `ViM2` that a VMamba state dict belongs to.

    Raises:
        ValueError: If there are no blocks of VMamba in it.
    """
    dims, depths = {}, {}
    for key, value in state.items():
        match = re.fullmatch(r'layers\.(\d+)\.blocks\.(\d+)\.norm\.weight', key)
        if match:
            stage, block = int(match[1]), int(match[2])
            dims[stage] = len(value)
            depths[stage] = max(depths.get(stage, 0), block + 1)
    stages = sorted(dims)
    if not stages or stages != list(range(len(stages))):
        raise ValueError(
            'the checkpoint must have blocks named layers.<stage>.blocks.<block>.norm '
            f'for the stages 0, 1, ..., found stages {stages}'
        )
    d_states = [len(v[0]) for k, v in state.items() if k.endswith('.op.A_logs')]
    image = state.get('patch_embed.0.weight')
    arch = dict(embed_dims=tuple(dims.values()), depths=tuple(depths.values()))
    return dict(
        arch=arch | dict(channel_mixer='none', averaging=False),
        out_indices=(stages[-1],),
        d_state=d_states[0] if d_states else 16,
        in_channels=3 if image is None else image.shape[1],
    )


def expected_shapes(settings: dict, classes: int) -> dict[str, tuple]:
    """Return name and shape of every tensor of a classifier on `ViM2(**settings)`."""
    with torch.device('meta'):
        backbone = ViM2(**settings)
    shapes = {f'backbone.{k}': tuple(v.shape) for k, v in backbone.state_dict().items()}
    width = backbone.embed_dims[-1]
    return shapes | {'head.fc.weight': (classes, width), 'head.fc.bias': (classes,)}


def convert(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict]:
    """Return our state dict and the arguments of the backbone it belongs to.

    Raises:
        ValueError: Unless every tensor has its place and every place its tensor; the
            message names all that do not.
    """
    settings = read_arch(state)
    (last,) = settings['out_indices']
    ours, problems = {}, []
    for key, value in state.items():
        renamed = rename(key, value, last)
        if not renamed:
            problems.append(f'{key} has no place in ViM2')
        ours |= renamed
    classes = len(ours['head.fc.bias']) if 'head.fc.bias' in ours else 0
    shapes = expected_shapes(settings, classes)
    for key in shapes.keys() - ours.keys():
        problems.append(f'{key} gets no tensor')
    for key in ours.keys() - shapes.keys():
        problems.append(f'{key} is not in ViM2')
    for key in shapes.keys() & ours.keys():
        if tuple(ours[key].shape) != shapes[key]:
            shape = tuple(ours[key].shape)
            problems.append(f'{key} must have shape {shapes[key]}, got {shape}')
    if problems:
        raise ValueError(
            f'not a complete checkpoint of Vanilla-VMamba{later(state)}: '
            f'{len(problems)} tensors do not fit, {"; ".join(sorted(problems)[:SHOWN])}'
            + '; ...'
            * (len(problems) > SHOWN)
        )
    return {key: value.clone() for key, value in ours.items()}, settings


def later(state: dict[str, Tensor]) -> str:
    """Return which version a checkpoint seems to be of, if a later one."""
    for part, told in LATER.items():
        if any(f'.{part}.' in f'.{key}' for key in state):
            return f', it seems to be of a later VMamba, which has {told}'
    return ''


def warm_start(
    state: dict[str, Tensor], settings: dict, arch: str | dict
) -> tuple[dict[str, Tensor], list[str], list[str]]:
    """Choose VMamba's tensors for the token mixers of `ViM2(arch)`.

    Args:
        state: What `convert` returned.
        settings: What `convert` returned beside it.
        arch: The arch to start.

    Returns:
        The state dict, the blocks of VMamba that were left out, and the names of the
        tensors of ViM2 that keep their initial values.

    Raises:
        ValueError: If the widths differ.
    """
    with torch.device('meta'):
        target = ViM2(**settings | dict(arch=arch))
    source = settings['arch']
    if target.embed_dims != source['embed_dims']:
        raise ValueError(
            f'a warm start needs equal widths: ViM2 has {target.embed_dims}, '
            f'the checkpoint {source["embed_dims"]}'
        )
    chosen = {key: value for key, value in state.items() if '.mixers.' not in key}
    unused = []
    for i, blocks in enumerate(source['depths']):
        mixers = token_mixers(target, i)
        step = (blocks - 1) / max(len(mixers) - 1, 1)
        taken = [round(m * step) for m in range(len(mixers))]
        for j, block in zip(mixers, taken, strict=True):
            prefix = f'backbone.stages.{i}.mixers.{block}.'
            for key, value in state.items():
                if key.startswith(prefix):
                    name = f'backbone.stages.{i}.mixers.{j}.{key.removeprefix(prefix)}'
                    chosen[name] = value
        left = [block for block in range(blocks) if block not in taken]
        unused += [f'layers.{i}.blocks.{block}' for block in left]
    names = [f'backbone.{key}' for key in target.state_dict()]
    return chosen, unused, [name for name in names if name not in chosen]


def token_mixers(model: ViM2, stage: int) -> list[int]:
    """Return the positions of the token mixers among the mixers of a stage."""
    units = enumerate(model.stages[stage].mixers)
    return [j for j, unit in units if isinstance(unit.mixer, SelectiveTokenMixer)]


def name_of(arch: dict) -> str | dict:
    """Return the name of `arch` in ViM2's table, or `arch` itself if it has none."""
    names = (name for name, known in ViM2.arch_settings.items() if known == arch)
    return next(names, arch)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('src', help="VMamba's checkpoint")
    parser.add_argument('dst', help='file to write')
    parser.add_argument('--to', choices=WARM_STARTS, help='write a warm start for it')
    args = parser.parse_args(arguments)
    try:
        state, settings = convert(load_vmamba(args.src))
        source = arch = name_of(settings['arch'])
        if args.to:
            arch = args.to.removeprefix('vim2-')
            state, unused, initial = warm_start(state, settings, arch)
        if not Path(args.dst).absolute().parent.is_dir():
            raise FileNotFoundError(f'there is no folder for {args.dst}')
    except (ValueError, FileNotFoundError) as error:
        raise SystemExit(f'error: {args.src} was not converted: {error}') from error
    meta = dict(source=Path(args.src).name, backbone=dict(settings, arch=arch))
    if args.to:
        meta['initial'] = initial
    torch.save(dict(meta=meta, state_dict=state), args.dst)
    print(f'{args.src} ({source}) -> {args.dst} ({arch}): {len(state)} tensors')
    if args.to:
        print(f'Left out of VMamba: {", ".join(unused) or "nothing"}')
        print(f'Keep their initial values in ViM2: {", ".join(initial)}')


if __name__ == '__main__':
    main()
