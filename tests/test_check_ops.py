"""The check of the ops that `python -m mmmambamixer.env --check` runs."""

import pytest
import torch

from mmmambamixer import check_ops, env
from mmmambamixer.ops import backend
from mmmambamixer.ops.testing import on_cpu

CPU = [torch.device('cpu')]


def verdicts(text):
    """Return the verdict of each line of a check, by its name."""
    lines = [line for line in text.splitlines() if line.startswith('cpu ')]
    return {line[8:36].strip(): line[37:43].strip() for line in lines}


def test_every_op_and_a_training_step_is_right_here(capsys):
    flags = torch.backends.cudnn.allow_tf32
    state = torch.get_rng_state()
    assert check_ops.check(CPU)
    found = verdicts(capsys.readouterr().out)
    assert list(found) == list(check_ops.CHECKS)
    assert set(found.values()) == {'ok'}
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.backends.cudnn.allow_tf32 == flags


def a_bit_off(function, place):
    """Return the function of an op with one number of one result changed."""

    def run(*args):
        results = function(*args)
        parts = [results] if isinstance(results, torch.Tensor) else list(results)
        wrong = parts[place] if isinstance(parts[place], torch.Tensor) else parts[0][0]
        wrong.flatten()[-1:].add_(0.5)
        return parts[0] if isinstance(results, torch.Tensor) else tuple(parts)

    return run


PLANTED = [
    ('selective_scan', 0),
    ('selective_scan', 1),
    ('selective_scan_backward', 2),
    ('selective_scan_backward', 6),
    ('cross_selective_scan', 0),
    ('cross_selective_scan_backward', 4),
    ('scan_conv', 0),
    ('scan_conv_backward', 2),
    ('gated_norm', 0),
    ('gated_norm_backward', 1),
    ('weighted_sum', 0),
    ('weighted_sum_backward', 0),
    ('weighted_sum_backward', 1),
]


@pytest.mark.parametrize(('name', 'place'), PLANTED)
def test_a_wrong_kernel_is_found(name, place, capsys, monkeypatch):
    op = name.removesuffix('_backward')
    names = (
        f'{op} fp32',
        'scan_conv bf16' if op == 'weighted_sum' else 'weighted_sum bf16',
    )
    checks = {k: check_ops.CHECKS[k] for k in names}
    monkeypatch.setattr(check_ops, 'CHECKS', checks)
    with on_cpu({name: a_bit_off(backend.REFERENCES[name], place)}):
        assert not check_ops.check(CPU)
    found = verdicts(capsys.readouterr().out)
    assert found == dict(zip(names, ('FAILED', 'ok'), strict=True))


def test_a_kernel_that_fails_is_named_and_the_rest_is_run(capsys):
    def fail(*args):
        raise RuntimeError('no kernel image\nfor this device' + 'x' * 1000)

    with on_cpu({'scan_conv': fail}):
        assert not check_ops.check(CPU)
    text = capsys.readouterr().out
    assert 'RuntimeError: no kernel image\n' in text and 'xxx' not in text
    assert verdicts(text)['weighted_sum bf16'] == 'ok'


def test_results_that_are_no_number_fail(capsys):
    def nothing(tensors, weights):
        return torch.full_like(tensors[0], torch.nan)

    with on_cpu({'weighted_sum': nothing}):
        assert not check_ops.check(CPU)
    assert verdicts(capsys.readouterr().out)['weighted_sum fp32'] == 'FAILED'


def test_the_command_checks_after_the_report_and_exits_with_1(capsys, monkeypatch):
    monkeypatch.setattr(check_ops, 'check', lambda: print('checked') or False)
    assert env.main([]) == 0
    assert 'checked' not in capsys.readouterr().out
    assert env.main(['--check']) == 1
    report, checked = capsys.readouterr().out.split('\n\n')
    assert 'ops on cpu' in report and checked == 'checked\n'


@pytest.mark.parametrize(('version', 'old'), [('3.3.1', True), ('3.4.0', False)])
def test_a_triton_that_is_too_old_is_told(version, old, monkeypatch):
    triton = pytest.importorskip('triton')
    monkeypatch.setattr(triton, '__version__', version)
    backend.triton_is_old.cache_clear()
    try:
        text = backend.available_backends()['cuda']
        launch = backend._load_then('weighted_sum.gpu:no_such_function')
        with pytest.raises(RuntimeError if old else AttributeError) as error:
            launch()
    finally:
        backend.triton_is_old.cache_clear()
    if old:
        message = (
            'Triton 3.3.1 is too old, the GPU kernels need 3.4 or later; install torch '
            '2.8 or later, which brings one that fits'
        )
        assert (text, str(error.value)) == (f'none: {message}', message)
    else:
        assert text.startswith('Triton 3.4.0')
