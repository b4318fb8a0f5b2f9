"""`tools/train.py --deterministic`: equal runs give equal bits."""

import pytest
import torch


@pytest.fixture(autouse=True)
def settings():
    """Leave torch's settings as they were."""
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    yield
    torch.use_deterministic_algorithms(False)
    cudnn.deterministic, cudnn.benchmark = before


@pytest.mark.parametrize('framework', ['mmpretrain', 'mmdet', 'mmseg'])
def test_equal_runs_give_equal_bits(framework, call, configs, tmp_path):
    pytest.importorskip(framework)
    states = []
    for name in ('first', 'second'):
        torch.rand(len(states))  # what came before plays no part
        call(
            'train.py',
            configs[framework],
            '--deterministic',
            '--no-validate',
            *('--work-dir', tmp_path / name),
        )
        assert torch.are_deterministic_algorithms_enabled()
        path = tmp_path / name / 'epoch_1.pth'
        states.append(torch.load(path, weights_only=True)['state_dict'])
    first, second = states
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_seed_of_the_config_stays(call, configs, tmp_path):
    pytest.importorskip('mmpretrain')
    options = ('--deterministic', '--no-validate', '--work-dir', tmp_path / 'run')
    call(
        'train.py',
        configs['mmpretrain'],
        *options,
        '--cfg-options',
        'randomness.seed=5',
    )
    path = tmp_path / 'run' / 'epoch_1.pth'
    assert torch.load(path, weights_only=True)['meta']['seed'] == 5
