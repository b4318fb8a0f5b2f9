"""`selective_scan` on CPU against the reference in fp64: results and every gradient.

Axis letters: b batch, g group, d channel, n state, l length. Numerics, compilation and
repeatability of all ops are in `test_numerics.py` and `test_contract.py`.
"""

from itertools import product

import pytest
import torch

from mmmambamixer.ops import selective_scan, selective_scan_reference
from mmmambamixer.ops.testing import check, scan_inputs

F32, F64, BF16, F16 = torch.float32, torch.float64, torch.bfloat16, torch.float16
OPTIONS = dict(delta_softplus=True, return_last_state=True)


def compare(inputs, dys=None, **options):
    return check(
        *(selective_scan, selective_scan_reference, inputs, dys), **OPTIONS | options
    )


@pytest.mark.parametrize('l', [0, 1, 2, 31, 32, 33, 63, 65, 196])
def test_lengths(l):
    compare(scan_inputs(2, 17, l, 4))


@pytest.mark.parametrize('d', [1, 3, 15, 16, 17, 33, 64, 65, 130])
def test_channels(d):
    compare(scan_inputs(2, d, 37, 3))


@pytest.mark.parametrize('n', [1, 2, 4, 5, 8, 16, 24])
def test_states(n):
    compare(scan_inputs(2, 18, 35, n))


@pytest.mark.parametrize('g', [1, 2, 4])
@pytest.mark.parametrize('d', [4, 36, 132])
def test_groups(g, d):
    compare(scan_inputs(2, d, 33, 3, g, z=True))


@pytest.mark.parametrize('b', [0, 1, 2, 3])
@pytest.mark.parametrize('l', [0, 33])
def test_batches(b, l):
    compare(scan_inputs(b, 5, l, 2, z=True))


@pytest.mark.parametrize(
    ('D', 'z', 'bias', 'softplus', 'last'), [*product([False, True], repeat=5)]
)
def test_optional_parts(D, z, bias, softplus, last):
    inputs = scan_inputs(2, 6, 34, 3, D=D, z=z, bias=bias, softplus=softplus)
    compare(inputs, delta_softplus=softplus, return_last_state=last)


@pytest.mark.parametrize(('B', 'C'), [*product(['dn', 'bnl', 'bgnl'], repeat=2)])
@pytest.mark.parametrize('dtype', [F32, BF16])
def test_shapes_of_B_and_C(B, C, dtype):
    compare(scan_inputs(2, 6, 35, 3, 2, B=B, C=C, dtypes=(dtype,) * 3))


@pytest.mark.parametrize('dtypes', [*product([F32, BF16, F16], repeat=3), (F64,) * 3])
def test_dtypes(dtypes):
    inputs = scan_inputs(2, 19, 40, 4, 1, z=True, dtypes=dtypes)
    results = compare(inputs).results
    assert results['y'].dtype == dtypes[0]
    assert results['last_state'].dtype == (F64 if dtypes[0] == F64 else F32)


def test_16_bit_parameters():
    inputs = scan_inputs(2, 19, 40, 4, dtypes=(BF16,) * 3)
    compare({name: x if x is None else x.to(BF16) for name, x in inputs.items()})


def test_gradient_of_the_last_state_alone():
    inputs = scan_inputs(2, 5, 70, 3)
    dys = [torch.zeros(2, 5, 70), torch.randn(2, 5, 3)]
    assert compare(inputs, dys).gradients['dA'].norm() > 0


STRIDES = {
    'transposed': lambda x: x.transpose(0, -1).contiguous().transpose(0, -1),
    'channels last': lambda x: x.transpose(1, -1).contiguous().transpose(1, -1),
    'sliced': lambda x: torch.stack([x, x + 1], -1).flatten(-2)[..., ::2],
    'part of a wider tensor': lambda x: torch.cat([x, x], 1)[:, : x.shape[1]],
    'unaligned': lambda x: torch.cat([x.new_zeros(1), x.flatten()])[1:].view(x.shape),
    'expanded over batch': lambda x: x[:1].expand(x.shape),
    'expanded over length': lambda x: x[..., :1].expand(x.shape),
    'expanded over channels': lambda x: x[:, :1].expand(x.shape),
}


@pytest.mark.parametrize('strides', STRIDES)
@pytest.mark.parametrize('dtype', [F32, BF16])
def test_any_strides(strides, dtype):
    """Inputs of any layout, and gradients of the results of the same layout."""
    inputs = scan_inputs(3, 21, 38, 4, 3, z=True, dtypes=(dtype,) * 3)
    dys = [torch.randn(3, 21, 38).to(dtype), torch.randn(3, 21, 4)]
    change = STRIDES[strides]
    inputs = {
        name: change(x) if x is not None and x.dim() > 1 else x
        for name, x in inputs.items()
    }
    compare(inputs, [change(dy) for dy in dys])


def test_strided_vectors_and_parameters():
    inputs = scan_inputs(2, 21, 38, 4)
    for name in ('D', 'delta_bias'):
        inputs[name] = torch.stack([inputs[name]] * 2, -1)[:, 0]
    inputs['A'] = inputs['A'].T.contiguous().T
    compare(inputs)


@pytest.mark.parametrize(('z', 'g', 'softplus'), [(True, 2, True), (False, 1, False)])
def test_gradcheck(z, g, softplus):
    inputs = scan_inputs(2, 4, 5, 3, g, z=z, softplus=softplus, dtypes=(F64,) * 3)
    leaves = [None if x is None else x.requires_grad_() for x in inputs.values()]
    assert torch.autograd.gradcheck(
        lambda *args: selective_scan(*args, softplus, True), leaves
    )


def test_gradcheck_over_several_tiles():
    inputs = scan_inputs(1, 2, 67, 2, dtypes=(F64,) * 3)
    leaves = [None if x is None else x.requires_grad_() for x in inputs.values()]
    assert torch.autograd.gradcheck(
        lambda *args: selective_scan(*args, True, True), leaves
    )


def test_only_some_gradients_are_wanted():
    inputs = scan_inputs(2, 5, 40, 3)
    wanted = compare(inputs)
    for name, x in inputs.items():
        if x is None:
            continue
        leaf = x.detach().requires_grad_()
        y, last_state = selective_scan(**inputs | {name: leaf}, **OPTIONS)
        (grad,) = torch.autograd.grad((y, last_state), leaf, wanted.dys)
        assert torch.equal(grad, wanted.gradients[f'd{name}']), name


def test_inference_gives_the_same_as_training():
    inputs = scan_inputs(2, 19, 70, 5, z=True)
    trained = compare(inputs).results['y']
    with torch.inference_mode():
        assert torch.equal(selective_scan(**inputs, delta_softplus=True), trained)


def test_does_not_change_its_inputs():
    inputs = scan_inputs(2, 19, 40, 5, z=True)
    before = {k: None if x is None else x.clone() for k, x in inputs.items()}
    compare(inputs)
    for name, x in inputs.items():
        assert torch.equal(x, before[name]), name


BAD = {
    'u is 2-D': (
        dict(u=torch.randn(4, 5)),
        r'u must be \(b, d, l\), got \(4, 5\)',
    ),
    'delta of another length': (
        dict(delta=torch.randn(2, 4, 6)),
        r'delta must have shape \(b, d, l\) = \(2, 4, 5\), got \(2, 4, 6\)',
    ),
    'A of other channels': (
        dict(A=torch.randn(3, 2)),
        r'A must have shape \(d, n\) with d = 4 and n > 0, got \(3, 2\)',
    ),
    'A without states': (
        dict(A=torch.randn(4, 0)),
        r'A must have shape \(d, n\) with d = 4 and n > 0, got \(4, 0\)',
    ),
    'B of other states': (
        dict(B=torch.randn(2, 3, 5)),
        r'B must have shape \(b, n, l\) = \(2, 2, 5\), got \(2, 3, 5\)',
    ),
    'C of one axis': (
        dict(C=torch.randn(5)),
        r'C must be \(d, n\), \(b, n, l\) or \(b, g, n, l\), got \(5,\)',
    ),
    'groups that do not divide': (
        dict(B=torch.randn(2, 3, 2, 5)),
        r'B has g = 3 groups, which do not divide d = 4',
    ),
    'D of other channels': (
        dict(D=torch.randn(5)),
        r'D must have shape \(d,\) = \(4,\), got \(5,\)',
    ),
    'z of another batch': (
        dict(z=torch.randn(1, 4, 5)),
        r'z must have shape \(b, d, l\) = \(2, 4, 5\), got \(1, 4, 5\)',
    ),
    'bias of other channels': (
        dict(delta_bias=torch.randn(1)),
        r'delta_bias must have shape \(d,\) = \(4,\), got \(1,\)',
    ),
    'complex A': (
        dict(A=torch.randn(4, 2, dtype=torch.complex64)),
        r'A must be a real floating-point tensor \(.*\), got torch\.complex64',
    ),
    'integers': (
        dict(u=torch.ones(2, 4, 5, dtype=torch.int64)),
        r'u must be a real floating-point tensor \(.*\), got torch\.int64',
    ),
    'two devices': (
        dict(B=torch.randn(2, 1, 2, 5, device='meta')),
        r'all tensors must be on one device: u is on cpu, B is on meta',
    ),
}


@pytest.mark.parametrize('case', BAD)
def test_bad_input(case):
    changed, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        selective_scan(**scan_inputs(2, 4, 5, 2) | changed)


def test_groups_of_B_and_C_that_differ():
    """Each divides the channels, but the smaller does not divide the greater."""
    inputs = scan_inputs(2, 6, 5, 2, 2) | dict(C=torch.randn(2, 3, 2, 5))
    compare(inputs)
