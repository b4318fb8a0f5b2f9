"""What the checks of the GPU kernels share: the device, and how errors are measured."""

import pytest
import torch
import triton

# RMS-relative error against fp64 on the same inputs: (results, gradients). 16-bit
# results carry their own rounding (Triton's interpreter truncates to bf16).
TOLERANCE = {
    torch.float64: (1e-13, 1e-12),
    torch.float32: (2e-6, 1e-5),
    torch.float16: (4e-4, 8e-4),
    torch.bfloat16: (4e-3, 6e-3),
}


@pytest.fixture
def device():
    """The GPU, or the CPU under Triton's interpreter."""
    if torch.cuda.is_available():
        return torch.device('cuda')
    assert triton.knobs.runtime.interpret, 'without a GPU, set TRITON_INTERPRET=1'
    return torch.device('cpu')


@pytest.fixture
def assert_close():
    def check(name, actual, expected, tolerance):
        actual, expected = actual.double().cpu(), expected.double().cpu()
        assert actual.shape == expected.shape, name
        error = (actual - expected).norm()  # NaN fails, also where memory was poisoned
        assert error <= tolerance * expected.norm(), (
            f'{name}: relative error {error / expected.norm():.1e} > {tolerance:.0e}'
        )

    return check


@pytest.fixture
def tolerance():
    return TOLERANCE


@pytest.fixture
def reverse_programs(device, monkeypatch):
    """A function that makes the interpreter run programs last to first from then on.

    On a GPU their order is not ours to choose, and it does nothing.
    """
    builder = triton.runtime.interpreter.interpreter_builder
    set_program = builder.set_grid_idx

    def reverse():
        if device.type == 'cpu':
            monkeypatch.setattr(
                *(builder, 'set_grid_idx'),
                lambda x, y, z: set_program(builder.grid_dim[0] - 1 - x, y, z),
            )

    return reverse


@pytest.fixture
def assert_repeats(reverse_programs):
    """A check that a call gives equal bits again, its programs run last to first."""

    def check(call):
        runs = []
        for i in range(2):
            torch.manual_seed(1)
            if i:
                reverse_programs()
            runs.append(call())
        assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))

    return check
