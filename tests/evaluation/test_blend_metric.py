"""The weight between two forecasts, and what it takes to have one."""

import pytest
import torch

from mmmambamixer.evaluation import BlendMetric

HORIZON = 4


def samples(windows=80, gain=0.4, noise=0.5):
    """Return samples whose mixers go part of the way from the line to the target."""
    target = torch.randn(windows, HORIZON, 3, dtype=torch.double)
    line = torch.zeros_like(target)
    mixers = gain * target + noise * torch.randn_like(target)
    return [
        dict(line=line[i], mixers=mixers[i], target=target[i]) for i in range(windows)
    ]


def evaluate(data, batch_size=80, **options):
    metric = BlendMetric(**options)
    for start in range(0, len(data), batch_size):
        metric.process({}, data[start : start + batch_size])
    return metric.evaluate(len(data))


def stacked(data, key):
    return torch.stack([sample[key] for sample in data])


def test_the_weight_is_the_best_of_a_grid_drawn_to_the_line():
    data = samples()
    found = evaluate(data, prior_windows=5)
    line, mixers, target = (stacked(data, k) for k in ('line', 'mixers', 'target'))
    errors = {
        w / 1000: (line + w / 1000 * (mixers - line) - target).square().mean().item()
        for w in range(1001)
    }
    best = min(errors, key=errors.get)
    weight = found['blend/weight']
    assert weight == pytest.approx(best * 20 / 25, abs=1e-3)  # 80 windows of 4 steps
    assert found['blend/mse'] == pytest.approx(errors[round(weight, 3)], rel=1e-3)
    assert found['blend/line_mse'] == pytest.approx(errors[0])
    assert found['blend/mixers_mse'] == pytest.approx(errors[1])


def test_the_fewer_windows_the_nearer_is_the_line():
    found = [
        evaluate(samples(windows, noise=0.0, gain=0.5))['blend/weight']
        for windows in (4, 32, 320)
    ]
    assert found == pytest.approx([1 / 9, 8 / 16, 80 / 88])
    with pytest.raises(ValueError, match='prior_windows must be at least 0, got -1'):
        BlendMetric(prior_windows=-1)


@pytest.mark.parametrize('batch_size', [1, 7, 32])
def test_it_does_not_depend_on_the_batch_size(batch_size):
    data = samples()
    one, other = evaluate(data), evaluate(data, batch_size)
    assert one == pytest.approx(other, rel=1e-12)


def test_worse_mixers_have_no_weight():
    found = evaluate(samples(gain=-0.4))
    assert found['blend/weight'] == 0
    assert found['blend/mse'] == found['blend/line_mse']


def test_mixers_beyond_the_target_have_at_most_weight_1():
    found = evaluate(samples(gain=0.5, noise=0), prior_windows=0)
    assert found['blend/weight'] == 1


def test_a_gain_in_one_block_of_windows_is_no_evidence():
    data = samples(noise=0)
    for sample in data[HORIZON:]:
        sample['mixers'] = sample['line']
    found = evaluate(data)
    assert 0.9 < found['blend/evidence'] < 1.1  # 1 block of 20: (g / 20) / (g / 20)
    assert found['blend/weight'] > 0
    assert evaluate(data, min_evidence=1.2)['blend/weight'] == 0
    alone = evaluate(samples(windows=HORIZON, noise=0), min_evidence=0.1)
    assert alone['blend/weight'] == 0 and alone['blend/evidence'] == 0
    assert evaluate(samples(), min_evidence=2)['blend/weight'] > 0


def test_the_evidence_is_the_fall_of_the_error_in_its_standard_errors():
    data = samples(noise=1.0)
    best = evaluate(data, prior_windows=0)['blend/weight']
    line, mixers, target = (stacked(data, k) for k in ('line', 'mixers', 'target'))
    blended = line + best * (mixers - line)
    fall = (line - target).square() - (blended - target).square()
    blocks = fall.sum((1, 2)).reshape(-1, HORIZON).sum(1)
    expected = blocks.mean() / blocks.std() * len(blocks) ** 0.5
    assert 0 < best < 0.9
    assert evaluate(data)['blend/evidence'] == pytest.approx(expected.item())


def test_what_is_not_observed_does_not_count():
    data = samples()
    spoilt = []
    for sample in data:
        observed = torch.rand(HORIZON, 3) > 0.3
        target = torch.where(observed, sample['target'], torch.nan)
        spoilt.append(dict(sample, target=target, observed=observed))
        sample['observed'] = observed
    assert evaluate(spoilt) == pytest.approx(evaluate(data), rel=1e-12)


def test_a_model_without_a_line_is_refused():
    with pytest.raises(ValueError, match='with a linear_path; this model gives target'):
        BlendMetric().process({}, [dict(target=torch.zeros(2, 2))])
