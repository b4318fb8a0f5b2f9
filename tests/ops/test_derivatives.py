"""Derivatives of the ops: right, or one sentence that names the op and the remedy."""

import contextlib

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad
from torch.fx.experimental.proxy_tensor import make_fx

from mmmambamixer import ops
from mmmambamixer.ops.backend import op_names
from mmmambamixer.ops.testing import cross_inputs, scan_inputs

F64 = torch.float64
all_ops = pytest.mark.parametrize('op', op_names())


def functions(op, i=0):
    """Return the op and its reference as functions of input number `i`, and that."""
    size = dict(routes=ops.CROSS, height=2, width=3)
    options, make_reference = {}, getattr(ops, f'{op}_reference')
    if op == 'selective_scan':
        inputs = list(scan_inputs(2, 4, 3, 2, z=True, dtypes=(F64,) * 3).values())
        options = dict(delta_softplus=True)
    elif op == 'cross_selective_scan':
        x = cross_inputs(2, 4, 6, 3, shared=False, dtypes=(F64,) * 3)
        inputs, options = list(x.values()), size
    elif op == 'scan_conv':
        shapes = (2, 5, 3), (4, 2), (4,)
        inputs = [torch.randn(shape, dtype=F64) for shape in shapes]
        options = dict(routes=ops.CROSS)
    elif op == 'gated_norm':
        shapes = (2, 5, 3), (2, 5, 3), (3,), (3,)
        inputs = [torch.randn(shape, dtype=F64) for shape in shapes]
    else:
        inputs = [*torch.randn(2, 3, 4, dtype=F64), torch.randn(2, dtype=F64)]

    def call(function, x):
        given = [*inputs[:i], x, *inputs[i + 1 :]]
        if op == 'weighted_sum':
            return function(given[:-1], given[-1])
        return function(*given, **options)

    public = getattr(ops, op)
    return lambda x: call(public, x), lambda x: call(make_reference, x), inputs[i]


def sine(function):
    return lambda x: function(x).sin().sum()


def dual(f, x):
    with forward_ad.dual_level():
        return forward_ad.unpack_dual(f(forward_ad.make_dual(x, x))).tangent


def traced(f, x):
    with torch.no_grad():
        return torch.jit.trace(f, x, check_trace=False)


def exported(f, x):
    network = nn.Module()
    network.forward = f
    with torch.no_grad():
        return torch.export.export(network, (x,)).module()


def second(f, x):
    x = x.clone().requires_grad_()
    (grad,) = torch.autograd.grad(sine(f)(x), x, create_graph=True)
    return torch.autograd.grad(grad.sum(), x)


def jacobian(f, x, **options):
    return torch.autograd.functional.jacobian(f, x, **options)


def batch_of(x):
    return torch.stack([x, 2 * x])


func = torch.func
RIGHT = {
    'vmap': lambda f, x: func.vmap(f)(batch_of(x)),
    'vmap, last axis': lambda f, x: func.vmap(f, -1)(batch_of(x).movedim(0, -1)),
    'vmap, output axis': lambda f, x: func.vmap(f, out_dims=1)(batch_of(x)),
    'vmap of vmap': lambda f, x: func.vmap(func.vmap(f))(batch_of(batch_of(x))),
    'backward of vmap': lambda f, x: jacobian(sine(func.vmap(f)), batch_of(x)),
    'jacobian': jacobian,
    'jacobian of a trace': lambda f, x: jacobian(traced(f, x), x),
    'jacobian of a graph': lambda f, x: jacobian(make_fx(f)(x), x),
    'jacobian of an export': lambda f, x: jacobian(exported(f, x), x),
    'backward of a part': lambda f, x: jacobian(lambda x: f(x).flatten()[:1], x),
}
REFUSED = {
    'jvp': lambda f, x: func.jvp(f, (x,), (x,)),
    'dual numbers': dual,
    'dual numbers and a backward': lambda f, x: dual(f, x.clone().requires_grad_()),
    'dual numbers in vmap': lambda f, x: dual(func.vmap(f), batch_of(x)),
    'dual numbers in a graph': lambda f, x: dual(make_fx(f)(x), x),
    'jvp of an export': lambda f, x: func.jvp(exported(f, x), (x,), (x,)),
    'linearize': lambda f, x: func.linearize(f, x),
    'jacfwd': lambda f, x: func.jacfwd(f)(x),
    'jacrev': lambda f, x: func.jacrev(f)(x),
    'grad': lambda f, x: func.grad(sine(f))(x),
    'vjp': lambda f, x: func.vjp(f, x),
    'gradient of each sample': lambda f, x: func.vmap(func.grad(sine(f)))(batch_of(x)),
    'jvp of vmap': lambda f, x: func.jvp(func.vmap(f), (batch_of(x),), (batch_of(x),)),
    'hessian': lambda f, x: func.hessian(sine(f))(x),
    'jacrev of jacrev': lambda f, x: func.jacrev(func.jacrev(sine(f)))(x),
    'forward over backward': lambda f, x: func.jvp(func.grad(sine(f)), (x,), (x,)),
    'jacobian, forward': lambda f, x: jacobian(
        f, x, vectorize=True, strategy='forward-mode'
    ),
    'double backward': second,
    'hessian, backward twice': lambda f, x: torch.autograd.functional.hessian(
        sine(f), x
    ),
    'hvp': lambda f, x: torch.autograd.functional.hvp(sine(f), x, x),
}


@all_ops
@pytest.mark.parametrize('kind', RIGHT)
def test_derivatives_that_exist_are_right(op, kind):
    for i in (0, 1):
        function, reference, x = functions(op, i)
        torch.testing.assert_close(RIGHT[kind](function, x), RIGHT[kind](reference, x))


@all_ops
def test_a_batch_of_none(op):
    function, _, x = functions(op)
    batch = batch_of(x).requires_grad_()
    found = func.vmap(function)(batch[:0])
    assert found.shape == (0, *function(x).shape)
    found.sum().backward()
    assert (batch.grad == 0).all()


@all_ops
@pytest.mark.parametrize('kind', REFUSED)
@pytest.mark.parametrize('kernels', ['cpu', 'gpu'])
def test_derivatives_that_do_not_exist_raise(op, kind, kernels):
    launch = contextlib.ExitStack()
    if kernels == 'gpu':
        pytest.importorskip('triton')
        from mmmambamixer.ops.gpu_launches import gpu_functions_on_cpu, noted_launches

        launch.enter_context(gpu_functions_on_cpu())
        launch.enter_context(noted_launches())
    function, reference, x = functions(op)
    assert REFUSED[kind](reference, x) is not None  # which the sentence leads to
    with launch, pytest.raises(RuntimeError) as error:
        REFUSED[kind](function, x)
    message = str(error.value)
    assert message.startswith(f'{op} ') and f'{op}_reference' in message
    assert len(message) < 220


@all_ops
@pytest.mark.parametrize('dtype', [torch.complex64, torch.complex128])
def test_complex_inputs_are_refused(op, dtype):
    for i in (0, 1):
        function, _, x = functions(op, i)
        with pytest.raises(ValueError, match=f'a real floating-point .* got {dtype}'):
            function(x.to(dtype))


@all_ops
def test_gradients_of_many_results_at_once(op):
    """`is_grads_batched` runs on a vmap of PyTorch's own that takes no lists."""
    function, reference, x = functions(op)
    if op == 'weighted_sum':
        with pytest.raises(RuntimeError, match=r'^weighted_sum takes no batch of grad'):
            jacobian(function, x, vectorize=True)
    else:
        actual = jacobian(function, x, vectorize=True)
        torch.testing.assert_close(actual, jacobian(reference, x))


@all_ops
def test_constants_beside_dual_numbers_are_no_derivative(op):
    function, _, x = functions(op)
    with forward_ad.dual_level():
        forward_ad.make_dual(x.clone(), x)
        assert function(x).isfinite().all()
