"""Numerical traps of the scans, and relations that hold whatever the reference says.

Axis letters: b batch, d channel, n state, l length, g scan.
"""

import pytest
import torch

from mmmambamixer.ops import (
    CROSS,
    cross_selective_scan,
    cross_selective_scan_reference,
    selective_scan,
    selective_scan_reference,
)
from mmmambamixer.ops.testing import (
    assert_close,
    check,
    cross_inputs,
    evaluate,
    relative_error,
    scan_inputs,
)

OPTIONS = dict(delta_softplus=True, return_last_state=True)
SIZE = dict(routes=CROSS, height=5, width=7)


# ---- Accuracy


def test_fp32_error_over_a_long_sequence():
    """The figures that the project promises, for Mamba's own initialisation."""
    inputs = scan_inputs(1, 16, 3136, 16)
    inputs['A'] = -torch.arange(1.0, 17).repeat(16, 1)
    inputs['delta_bias'] = torch.linspace(-6.9, -2.3, 16)
    actual = evaluate(selective_scan, inputs, **OPTIONS)
    exact = evaluate(
        selective_scan_reference,
        {k: x if x is None else x.double() for k, x in inputs.items()},
        [dy.double() for dy in actual.dys],
        **OPTIONS,
    )
    for name, expected in exact.results.items():
        assert relative_error(actual.results[name], expected) <= 5e-7, name
    for name, expected in exact.gradients.items():
        assert relative_error(actual.gradients[name], expected) <= 5e-6, name


def test_softplus_of_small_and_large_arguments():
    """log(1 + exp(x)) in fp32 would be wrong by 100 % at -17.

    The tolerance grows with the argument, whose product with log2(e) is rounded.
    """
    raw = torch.cat([torch.linspace(-80, 90, 171), torch.tensor([-17.0, 0.0])])
    ones = torch.ones(1, len(raw), 1)
    inputs = dict(u=ones, delta=raw[None, :, None], A=-1e-6 * ones[0])
    inputs |= dict(B=ones[:, :1], C=ones[:, :1])
    inputs = {k: x.clone().requires_grad_() for k, x in inputs.items()}
    y = selective_scan(**inputs, delta_softplus=True).flatten()
    (slope,) = torch.autograd.grad(y.sum(), inputs['delta'])
    exact = raw.double()
    softplus = torch.logaddexp(exact, torch.zeros_like(exact))
    tolerance = 4e-7 + 8e-8 * exact.abs()
    assert ((y - softplus).abs() <= tolerance * softplus).all()
    sigmoid = torch.sigmoid(exact)
    assert ((slope.flatten() - sigmoid).abs() <= tolerance * sigmoid).all()


@pytest.mark.parametrize('softplus', [True, False])
def test_no_skip_at_zero_step_size(softplus):
    inputs = scan_inputs(2, 17, 40, 3, bias=False)
    inputs['delta'] = torch.full_like(inputs['delta'], -200.0 if softplus else 0.0)
    y, last_state = selective_scan(
        **inputs, delta_softplus=softplus, return_last_state=True
    )
    assert torch.equal(y, inputs['D'][:, None] * inputs['u'])
    assert not last_state.any()


# ---- Adversarial inputs


def adversarial(kind):
    inputs = scan_inputs(2, 21, 70, 5)
    if kind == 'wide ranges':
        inputs['delta'] = torch.empty(2, 21, 70).uniform_(-100, 100)
        inputs['A'] = -torch.exp(torch.empty(21, 5).uniform_(-10, 6))
    elif kind == 'constants':
        inputs = {k: x if x is None else torch.ones_like(x) for k, x in inputs.items()}
        inputs['A'] = -inputs['A']
    elif kind == 'zeros':
        inputs = {k: x if x is None else torch.zeros_like(x) for k, x in inputs.items()}
    elif kind == 'denormals':
        inputs['u'] = inputs['u'] * 1e-41
        inputs['B'] = inputs['B'].sign()
    elif kind == 'huge decay':
        inputs['A'] = torch.full_like(inputs['A'], -1e30)
    elif kind == 'huge steps':
        inputs['delta'][:, :, ::9] = 1e30
        inputs['u'][:, :, ::9] = 1e-30
    elif kind == 'no decay':
        inputs['A'] = torch.zeros_like(inputs['A'])
    elif kind == 'large values':
        inputs['u'] = inputs['u'] * 1e15
    return inputs


KINDS = [
    *('wide ranges', 'constants', 'zeros', 'huge decay', 'huge steps', 'no decay'),
    'large values',
]


@pytest.mark.parametrize('kind', KINDS)
def test_adversarial_inputs(kind):
    check(selective_scan, selective_scan_reference, adversarial(kind), **OPTIONS)


def test_denormal_inputs():
    inputs = adversarial('denormals')
    actual = evaluate(selective_scan, inputs, **OPTIONS)
    for tensor in (*actual.results.values(), *actual.gradients.values()):
        assert tensor.isfinite().all()
    assert actual.results['y'].abs().max() < 1e-38


def test_adversarial_maps():
    inputs = cross_inputs(2, 4, 35, 21)
    inputs['dt'] = torch.empty(2, 4, 35, 2).uniform_(-100, 100)
    inputs['A'] = -torch.exp(torch.empty(4, 21, 3).uniform_(-10, 6))
    check(cross_selective_scan, cross_selective_scan_reference, inputs, **SIZE)


@pytest.mark.parametrize('bad', [float('nan'), float('inf'), -float('inf')])
@pytest.mark.parametrize('where', ['u', 'delta', 'dy'])
def test_one_bad_value_stays_in_its_row(bad, where):
    """Row (0, 3): other rows keep their results and gradients to the bit."""
    inputs = scan_inputs(2, 21, 70, 5)
    clean = evaluate(selective_scan, inputs, **OPTIONS)
    dys = [dy.clone() for dy in clean.dys]
    if where == 'dy':
        dys[0][0, 3, 40] = bad
    else:
        inputs[where] = inputs[where].clone()
        inputs[where][0, 3, 40] = bad
    spoilt = evaluate(selective_scan, inputs, dys, **OPTIONS)
    others = torch.ones(2, 21, dtype=torch.bool)
    others[0, 3] = False
    for kind, names in ((0, ('y', 'last_state')), (1, ('du', 'ddelta'))):
        for name in names:
            assert torch.equal(spoilt[kind][name][others], clean[kind][name][others])
    assert torch.equal(spoilt.results['y'][0, 3, :40], clean.results['y'][0, 3, :40])
    for name in ('dB', 'dC'):  # channels share B and C, batch items do not
        assert torch.equal(spoilt.gradients[name][1], clean.gradients[name][1])
    if where != 'dy':
        assert where == 'delta' or not spoilt.results['y'][0, 3, 40].isfinite()


def test_one_bad_value_stays_in_its_channel_of_a_map():
    inputs = cross_inputs(2, 4, 35, 21)
    clean = cross_selective_scan(**inputs, **SIZE)
    inputs['u'] = inputs['u'].clone()
    inputs['u'][1, 17, 20] = float('nan')
    spoilt = cross_selective_scan(**inputs, **SIZE)
    assert spoilt[1, :, 20].isnan().all()
    assert torch.equal(spoilt[0], clean[0])
    assert torch.equal(spoilt[1, :, :20], clean[1, :, :20])


# ---- Metamorphic relations


def test_linear_in_u():
    inputs, v = scan_inputs(2, 21, 70, 5), torch.randn(2, 21, 70)
    y = selective_scan(**inputs, delta_softplus=True)
    other = selective_scan(**inputs | dict(u=v), delta_softplus=True)
    both = selective_scan(
        **inputs | dict(u=2 * inputs['u'] - 3 * v), delta_softplus=True
    )
    assert_close('y', both, 2 * y - 3 * other, 1e-6)


@pytest.mark.parametrize('split', [1, 31, 32, 45])
def test_two_parts_with_the_carried_state_make_the_whole(split):
    inputs = scan_inputs(2, 21, 70, 5, softplus=False, bias=False)
    whole, last_state = selective_scan(**inputs, return_last_state=True)

    def part(positions):
        along = {k: inputs[k][..., positions] for k in ('u', 'delta', 'B', 'C')}
        return selective_scan(**inputs | along, return_last_state=True)

    first, carried = part(slice(0, split))
    second, h = part(slice(split, None))
    passed = inputs['delta'][..., split:].cumsum(-1)  # (b, d, l)
    decay = torch.exp(passed[:, :, None] * inputs['A'][:, :, None])  # (b, d, n, l)
    second = second + torch.einsum(
        'bdnl,bdn,bnl->bdl', decay, carried, inputs['C'][:, 0, :, split:]
    )
    assert_close('y', torch.cat([first, second], -1), whole, 1e-6)
    assert_close('last_state', h + decay[..., -1] * carried, last_state, 1e-6)


def test_what_comes_later_changes_nothing():
    inputs = scan_inputs(2, 21, 70, 5)
    y = selective_scan(**inputs, delta_softplus=True)
    for l in (1, 31, 33, 64):
        part = {k: inputs[k][..., :l] for k in ('u', 'delta', 'B', 'C')}
        short = selective_scan(**inputs | part, delta_softplus=True)
        assert_close('y', short, y[..., :l], 1e-6)


def test_groups_are_separate_scans():
    inputs = scan_inputs(2, 20, 40, 3, 4)
    y = selective_scan(**inputs, delta_softplus=True)
    for k in range(4):
        rows = slice(5 * k, 5 * k + 5)
        part = {name: inputs[name][:, rows] for name in ('u', 'delta')}
        part |= {name: inputs[name][rows] for name in ('A', 'D', 'delta_bias')}
        part |= {name: inputs[name][:, k] for name in ('B', 'C')}
        alone = selective_scan(**part, delta_softplus=True)
        assert_close('y', alone, y[:, rows], 1e-6)


def test_scans_of_a_map_add_up():
    inputs = cross_inputs(2, 4, 35, 6)
    y = cross_selective_scan(**inputs, **SIZE)
    total = 0
    for k, route in enumerate(CROSS):
        part = {x: inputs[x][:, k : k + 1] for x in ('dt', 'B', 'C')}
        part |= {x: inputs[x][k : k + 1] for x in ('dt_weight', 'A', 'D', 'dt_bias')}
        size = SIZE | dict(routes=(route,))
        total = total + cross_selective_scan(inputs['u'], **part, **size)
    assert_close('y', total, y, 1e-6)
