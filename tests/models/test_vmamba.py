"""VMamba's first version: the converter of its checkpoints, and its logits.

`vmamba_logits` is a transcription of the published equations in plain PyTorch that
reads a state dict under VMamba's own names.
"""

import importlib.util
import pickle
import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import init_default_scope

from mmmambamixer import ViM2

PATH = Path(__file__).parents[2] / 'tools' / 'convert_vmamba.py'
SPEC = importlib.util.spec_from_file_location('convert_vmamba', PATH)
convert_vmamba = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(convert_vmamba)

DIMS, DEPTHS, N, CLASSES = (4, 8, 12, 16), (2, 2, 3, 2), 3, 5
NEW_TO_OLD = {
    'patch_embed.0': 'patch_embed.proj',
    'patch_embed.2': 'patch_embed.norm',
    'downsample.1': 'downsample.norm',
    'downsample.2': 'downsample.reduction',
    'classifier.norm': 'norm',
    'classifier.head': 'head',
}


def vmamba_shapes(dims=DIMS, depths=DEPTHS, n=N, classes=CLASSES):
    """Name and shape of all tensors of a VMamba, in its newer spelling."""
    shapes = {}

    def norm(name, width):
        shapes.update({f'{name}.weight': (width,), f'{name}.bias': (width,)})

    shapes['patch_embed.0.weight'] = (dims[0], 3, 4, 4)
    shapes['patch_embed.0.bias'] = (dims[0],)
    norm('patch_embed.2', dims[0])
    for i, (c, depth) in enumerate(zip(dims, depths, strict=True)):
        e, r = 2 * c, -(-c // 16)
        for j in range(depth):
            block = f'layers.{i}.blocks.{j}'
            norm(f'{block}.norm', c)
            norm(f'{block}.op.out_norm', e)
            shapes |= {
                f'{block}.op.in_proj.weight': (2 * e, c),
                f'{block}.op.conv2d.weight': (e, 1, 3, 3),
                f'{block}.op.conv2d.bias': (e,),
                f'{block}.op.x_proj_weight': (4, r + 2 * n, e),
                f'{block}.op.dt_projs_weight': (4, e, r),
                f'{block}.op.dt_projs_bias': (4, e),
                f'{block}.op.A_logs': (4 * e, n),
                f'{block}.op.Ds': (4 * e,),
                f'{block}.op.out_proj.weight': (c, e),
            }
        if i + 1 < len(dims):
            norm(f'layers.{i}.downsample.1', 4 * c)
            shapes[f'layers.{i}.downsample.2.weight'] = (dims[i + 1], 4 * c)
    norm('classifier.norm', dims[-1])
    shapes['classifier.head.weight'] = (classes, dims[-1])
    shapes['classifier.head.bias'] = (classes,)
    return shapes


def random_vmamba(**settings):
    generator = torch.Generator().manual_seed(3)
    return {
        key: 0.3 * torch.randn(shape, generator=generator)
        for key, shape in vmamba_shapes(**settings).items()
    }


def older(state):
    """Return the same tensors under the older names."""
    result = {}
    for key, value in state.items():
        for new, old in NEW_TO_OLD.items():
            key = re.sub(rf'(^|\.){re.escape(new)}\.', rf'\1{old}.', key)
        key = re.sub(r'(blocks\.\d+)\.norm\.', r'\1.ln_1.', key)
        result[key.replace('.op.', '.self_attention.')] = value
    return result


def ss2d(p, x):
    """VMamba's gated scan over four routes, `(b, h, w, c)` -> the same."""
    b, h, w, _ = x.shape
    v, z = (x @ p['in_proj.weight'].T).chunk(2, dim=-1)
    e, r = v.shape[-1], p['dt_projs_weight'].shape[-1]
    v = v.permute(0, 3, 1, 2)
    v = F.silu(F.conv2d(v, p['conv2d.weight'], p['conv2d.bias'], padding=1, groups=e))
    rows = torch.arange(h * w)
    columns = rows.view(h, w).T.flatten()
    y = torch.zeros(b, e, h * w)
    for k, order in enumerate((rows, columns, rows.flip(0), columns.flip(0))):
        u = v.flatten(2)[:, :, order]  # (b, e, l)
        n = (p['x_proj_weight'].shape[1] - r) // 2
        dt, B, C = (p['x_proj_weight'][k] @ u).split([r, n, n], dim=1)
        delta = F.softplus(
            p['dt_projs_weight'][k] @ dt + p['dt_projs_bias'][k][:, None]
        )
        A = -p['A_logs'].view(4, e, n)[k].exp()
        state = torch.zeros(b, e, n)
        for t, position in enumerate(order):
            step = delta[:, :, t, None]
            u_t, B_t, C_t = u[:, :, t, None], B[:, None, :, t], C[:, None, :, t]
            state = (step * A).exp() * state + step * B_t * u_t
            skip = p['Ds'].view(4, e)[k] * u[:, :, t]
            y[:, :, position] += (state * C_t).sum(-1) + skip
    y = y.view(b, e, h, w).permute(0, 2, 3, 1)
    y = F.layer_norm(y, (e,), p['out_norm.weight'], p['out_norm.bias'])
    return (y * F.silu(z)) @ p['out_proj.weight'].T


def vmamba_logits(state, image):
    def norm(name, x):
        weight, bias = state[f'{name}.weight'], state[f'{name}.bias']
        return F.layer_norm(x, weight.shape, weight, bias)

    x = F.conv2d(image, state['patch_embed.0.weight'], state['patch_embed.0.bias'], 4)
    x = norm('patch_embed.2', x.permute(0, 2, 3, 1))
    for i, depth in enumerate(DEPTHS):
        for j in range(depth):
            block = f'layers.{i}.blocks.{j}'
            op = f'{block}.op.'
            p = {k.removeprefix(op): v for k, v in state.items() if k.startswith(op)}
            x = x + ss2d(p, norm(f'{block}.norm', x))
        if i + 1 < len(DEPTHS):
            corners = [x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2]]
            x = torch.cat([*corners, x[:, 1::2, 1::2]], dim=-1)
            x = norm(f'layers.{i}.downsample.1', x)
            x = x @ state[f'layers.{i}.downsample.2.weight'].T
    x = norm('classifier.norm', x).mean((1, 2))
    return x @ state['classifier.head.weight'].T + state['classifier.head.bias']


def save(path, state):
    torch.save({'model': state}, path)
    return str(path)


@pytest.mark.parametrize('spelling', [dict, older])
def test_converted_logits_are_vmambas(tmp_path, spelling):
    pytest.importorskip('mmpretrain')
    from mmpretrain.models import ImageClassifier

    init_default_scope('mmpretrain')
    state = random_vmamba()
    src, dst = save(tmp_path / 'src.pth', spelling(state)), str(tmp_path / 'dst.pth')
    convert_vmamba.main([src, dst])
    converted = torch.load(dst, weights_only=True)
    assert set(converted) == {'meta', 'state_dict'}
    classifier = ImageClassifier(
        backbone=dict(type='mmmambamixer.ViM2', **converted['meta']['backbone']),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=CLASSES, in_channels=DIMS[-1]),
    ).eval()
    classifier.load_state_dict(converted['state_dict'])
    image = torch.randn(2, 3, 64, 32)
    with torch.no_grad():
        logits = classifier(image)
    expected = vmamba_logits(state, image)
    assert expected.std() > 0.1
    torch.testing.assert_close(logits, expected, rtol=0, atol=2e-5)


def test_every_tensor_has_its_place():
    state = random_vmamba()
    ours, _ = convert_vmamba.convert(state)
    assert sum(v.numel() for v in ours.values()) == sum(
        v.numel() for v in state.values()
    )
    e, unit = 2 * DIMS[2], 'backbone.stages.2.mixers.1.mixer'
    op = {
        k.removeprefix('layers.2.blocks.1.op.'): v
        for k, v in state.items()
        if k.startswith('layers.2.blocks.1.op.')
    }
    assert torch.equal(ours[f'{unit}.in_proj.weight'], op['in_proj.weight'][:e])
    assert torch.equal(ours[f'{unit}.gate_proj.weight'], op['in_proj.weight'][e:])
    assert torch.equal(ours[f'{unit}.s6.A_log'], op['A_logs'].view(4, e, N))
    assert torch.equal(ours[f'{unit}.s6.D'], op['Ds'].view(4, e))
    for name, source in {
        'stages.0.mixers.1.mixer.conv.bias': 'layers.0.blocks.1.op.conv2d.bias',
        'stages.3.downsample.norm.bias': 'layers.2.downsample.1.bias',
        'stages.1.downsample.reduction.weight': 'layers.0.downsample.2.weight',
        'stages.2.mixers.0.norm.weight': 'layers.2.blocks.0.norm.weight',
        'stages.2.mixers.0.mixer.norm.weight': 'layers.2.blocks.0.op.out_norm.weight',
        'stem.norm.bias': 'patch_embed.2.bias',
        'norm3.weight': 'classifier.norm.weight',
    }.items():
        assert torch.equal(ours[f'backbone.{name}'], state[source]), name


@pytest.mark.parametrize(
    'change, message',
    [
        (
            lambda s: s.pop('layers.1.blocks.0.op.Ds'),
            r'1\.mixers\.0\.mixer\.s6\.D gets no',
        ),
        (lambda s: s.pop('classifier.head.bias'), 'head.fc.bias gets no tensor'),
        (
            lambda s: s.update({'layers.0.blocks.0.mlp.fc1.weight': torch.zeros(2)}),
            'layers.0.blocks.0.mlp.fc1.weight has no place in ViM2',
        ),
        (
            lambda s: s.update(
                {'layers.0.blocks.0.op.out_proj.weight': torch.zeros(4, 7)}
            ),
            r'out_proj.weight must have shape \(4, 8\), got \(4, 7\)',
        ),
        (lambda s: s.clear(), 'layers.<stage>.blocks.<block>.norm'),
    ],
)
def test_an_incomplete_checkpoint_is_refused(tmp_path, change, message):
    state = random_vmamba()
    change(state)
    src, dst = save(tmp_path / 'src.pth', state), tmp_path / 'dst.pth'
    with pytest.raises(SystemExit, match=message):
        convert_vmamba.main([src, str(dst)])
    assert not dst.exists()


class Attack:
    def __reduce__(self):
        return print, ('code ran',)


def test_other_files_are_refused(tmp_path, capsys):
    path, dst = tmp_path / 'src.pth', str(tmp_path / 'dst.pth')
    with pytest.raises(SystemExit, match='not converted: no checkpoint at'):
        convert_vmamba.main([str(path), dst])
    torch.save({'state_dict': {}}, path)
    with pytest.raises(SystemExit, match=r'key `model`, .* it has the keys state_dict'):
        convert_vmamba.main([str(path), dst])
    path.write_bytes(pickle.dumps(Attack()))
    with pytest.raises(SystemExit, match='may hold tensors and plain data only'):
        convert_vmamba.main([str(path), dst])
    assert 'code ran' not in capsys.readouterr().out


def test_a_warm_start_fills_the_token_mixers_evenly():
    state, settings = convert_vmamba.convert(random_vmamba(depths=(2, 2, 9, 2)))
    arch = dict(embed_dims=DIMS, depths=(2, 2, 6, 2))
    chosen, unused, initial = convert_vmamba.warm_start(state, settings, arch)
    model = ViM2(**settings | dict(arch=arch))
    backbone = {k.removeprefix('backbone.'): v for k, v in chosen.items()}
    found = model.load_state_dict(backbone, strict=False)
    assert found.unexpected_keys == ['head.fc.weight', 'head.fc.bias']
    assert [f'backbone.{key}' for key in found.missing_keys] == initial
    kinds = {key.split('.')[3] for key in found.missing_keys if 'averages' not in key}
    assert kinds == {'2', '5', '8'}  # the channel mixers
    tokens = (0, 1, 3, 4, 6, 7)
    for j, block in zip(tokens, (0, 2, 3, 5, 6, 8), strict=True):
        name = 'mixer.s6.A_log'
        assert torch.equal(
            chosen[f'backbone.stages.2.mixers.{j}.{name}'],
            state[f'backbone.stages.2.mixers.{block}.{name}'],
        )
    assert unused == [f'layers.2.blocks.{block}' for block in (1, 4, 7)]


def test_vim2_tiny_starts_from_vmamba_tiny(tmp_path, capsys):
    dims = (96, 192, 384, 768)
    state = random_vmamba(dims=dims, depths=(2, 2, 9, 2), n=16, classes=3)
    src, dst = save(tmp_path / 'src.pth', state), str(tmp_path / 'dst.pth')
    convert_vmamba.main([src, dst, '--to', 'vim2-tiny'])
    out = capsys.readouterr().out
    assert '(vmamba_tiny)' in out and 'layers.2.blocks.4' in out
    converted = torch.load(dst, weights_only=True)
    assert converted['meta']['backbone']['arch'] == 'tiny'
    assert converted['meta']['source'] == 'src.pth'
    init_cfg = dict(type='Pretrained', checkpoint=dst, prefix='backbone.')
    started = ViM2(arch='tiny', out_indices=(0, 1, 2, 3), init_cfg=init_cfg)
    started.init_weights()
    name = 'stages.2.mixers.7.mixer.s6.x_proj'
    assert torch.equal(
        started.state_dict()[name], converted['state_dict'][f'backbone.{name}']
    )
    with pytest.raises(SystemExit, match='a warm start needs equal widths'):
        convert_vmamba.main([src, dst, '--to', 'vim2-base'])
