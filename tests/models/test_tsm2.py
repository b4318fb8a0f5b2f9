"""TSM2: what it computes, its special cases, and what it refuses."""

import pytest
import torch
from mmengine.registry import MODELS

from mmmambamixer import TSM2
from mmmambamixer.models.forecasters.losses import pinball_loss
from mmmambamixer.models.layers.series.mixers import SeriesMixers
from mmmambamixer.models.layers.weighted_average import WeightedAverage

SIZES = dict(look_back=64, horizon=24, variates=3)


def make(**options) -> TSM2:
    """Return a small model whose head and averages are not at their first values."""
    torch.manual_seed(1)
    model = TSM2(**SIZES, **options).eval()
    torch.nn.init.normal_(model.head.weight, std=0.1)
    for module in model.modules():
        if isinstance(module, WeightedAverage) and module.weights.requires_grad:
            torch.nn.init.normal_(module.weights)
    return model


def past(windows=2):
    return torch.randn(windows, 64, 3)


def test_the_registry_knows_it_by_its_prefix():
    assert isinstance(MODELS.build(dict(type='mmmambamixer.TSM2', **SIZES)), TSM2)


@pytest.mark.parametrize('depth', [1, 2, 3])
def test_the_averages_have_as_many_scalars_as_the_paper_says(depth):
    mixers = TSM2(**SIZES, depth=depth).mixers
    blocks = sum(
        m.weights.numel() for m in mixers.blocks.modules() if hasattr(m, 'weights')
    )
    assert blocks == depth * (2 * depth + 3)
    assert mixers.average.weights.numel() == 2 * depth + 2  # the read-out


@pytest.mark.parametrize('norm', ['2d', 'token'])
def test_the_averages_start_as_the_chain_of_residual_units(norm):
    sizes = dict(d_model=8, depth=2, patches=5, variates=3, norm=norm)
    mixers = SeriesMixers(**sizes).double()
    x = torch.randn(2, 3, 5, 8, dtype=torch.double)
    expected = x
    for block in mixers.blocks:
        expected = expected + block['time'](block['time_norm'](expected))
        expected = expected + block['variate'](block['variate_norm'](expected))
    torch.testing.assert_close(mixers(x), expected, rtol=1e-12, atol=1e-12)


def test_averaging_off_keeps_the_chain():
    model = TSM2(**SIZES, averaging=False)
    averages = [m for m in model.modules() if isinstance(m, WeightedAverage)]
    assert averages and not any(m.weights.requires_grad for m in averages)


@pytest.mark.parametrize('centre', ['mean', 'last'])
def test_the_first_forecast_repeats_the_centre(centre):
    x = past()
    expected = x.mean(1, keepdim=True) if centre == 'mean' else x[:, -1:]
    forecast = TSM2(**SIZES, centre=centre).eval()(x)
    torch.testing.assert_close(forecast, expected.expand(2, 24, 3))


def test_a_shift_and_a_scale_of_the_look_back_are_those_of_the_forecast():
    model, x = make().double(), past().double()
    torch.testing.assert_close(model(5 * x + 3), 5 * model(x) + 3, rtol=1e-4, atol=1e-4)


def test_a_constant_look_back_has_a_finite_forecast():
    assert make()(torch.full((1, 64, 3), 7.0)).isfinite().all()


def test_time_is_mixed_forward_only():
    model = make(norm='token', variate_mixer='none', instance_norm=False)
    x = past(1)
    changed = x.clone()
    changed[:, -1] += 1  # lies in the last two of the 8 patches
    difference = [(model.mixers(model.tokens(a, None, None))) for a in (x, changed)]
    moved = (difference[0] - difference[1]).abs().amax((0, 1, 3))
    assert (moved[:-2] == 0).all() and (moved[-2:] > 0).all()


def test_two_time_scans_see_the_future_of_a_patch():
    model = make(norm='token', variate_mixer='none', instance_norm=False, time_scans=2)
    x = past(1)
    changed = x.clone()
    changed[:, -1] += 1
    a, b = (model.mixers(model.tokens(one, None, None)) for one in (x, changed))
    assert ((a - b).abs().amax((0, 1, 3)) > 0).all()


@pytest.mark.parametrize('variate_mixer', ['selective', 'mlp', 'none'])
def test_the_order_of_the_variates_matters_to_their_mixer_only(variate_mixer):
    model, x = make(variate_mixer=variate_mixer, affine=False), past()
    order = [2, 0, 1]
    same = torch.allclose(model(x[..., order]), model(x)[..., order], atol=1e-5)
    assert same == (variate_mixer == 'none')


def test_the_first_variate_hears_of_the_last_through_the_backward_scan():
    x = past(1)
    changed = x.clone()
    changed[..., 2] = torch.randn(64)
    for scans, heard in ((1, False), (2, True)):
        model = make(norm='token', affine=False, variate_scans=scans)
        difference = (model(x) - model(changed))[..., 0].abs().max()
        assert (difference > 0) == heard


@pytest.mark.parametrize(
    'options',
    [
        dict(time_mixer='linear', variate_scans=1),
        dict(variate_mixer='mlp', averaging=False),
        dict(time_mixer='none'),
        dict(norm='token', depth=2, time_scans=2, instance_norm=False),
        dict(variate_embed=True, affine=False, loss='huber'),
    ],
    ids=str,
)
def test_every_ablation_learns(options):
    torch.manual_seed(0)
    model = TSM2(**SIZES, dropout=0, **options)
    x = past(8)
    future = x[:, :24].flip(1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        loss = model(x, future, mode='loss')['loss']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    unused = [n for n, p in model.named_parameters() if p.grad is None]
    assert all('average' in name for name in unused)


class TestLinearPath:
    def test_a_blend_of_0_is_the_line_and_of_1_the_mixers(self):
        model, x = make(linear_path=dict(maps='variate')), past()
        torch.nn.init.normal_(model.linear_path.weight, std=0.1)
        model.blend.fill_(0)
        torch.testing.assert_close(model(x), model.linear_path(x))
        model.blend.fill_(1)
        torch.testing.assert_close(model(x), model.mix_series(x, None, None)[0])

    def test_the_loss_is_that_of_the_mixers_alone(self):
        model, x = make(linear_path=dict(maps='shared')), past()
        future = torch.randn(2, 24, 3)
        loss = model(x, future, mode='loss')['loss']
        expected = (model.mix_series(x, None, None)[0] - future).square().mean()
        torch.testing.assert_close(loss, expected)
        loss.backward()
        assert model.linear_path.weight.grad is None
        assert 'blend' in model.state_dict()

    def test_quantiles_keep_their_distances(self):
        model = make(linear_path=dict(maps='shared'), quantiles=[0.1, 0.5, 0.9])
        x = past()
        branches = model.branches(x, None, None)
        widths = {k: v.diff(dim=0) for k, v in branches.items()}
        torch.testing.assert_close(widths['forecast'], widths['mixers'])
        middle = (branches['line'] + branches['mixers'])[1] / 2
        torch.testing.assert_close(branches['forecast'][1], middle)


class TestCrossingQuantiles:
    """Heads of random weights cross; what is forecast does not."""

    @pytest.mark.parametrize('seed', range(20))
    def test_forecasts_ascend(self, seed):
        torch.manual_seed(seed)
        levels = sorted({0.5, *torch.rand(5).tolist()})
        path = dict(maps='shared') if seed % 2 else None
        model = make(quantiles=levels, linear_path=path, targets=[2, 0])
        x, future = past(), torch.randn(2, 24, 2)
        raw = model.branches(x, None, None)['forecast'][..., [2, 0]]
        assert (raw.diff(dim=0) < 0).any()
        forecast = model(x)
        torch.testing.assert_close(forecast, raw.sort(0).values)
        for window, sample in enumerate(model(x, future, mode='predict')):
            assert torch.equal(sample['quantiles'], forecast[:, window])
            assert torch.equal(sample['forecast'], forecast[levels.index(0.5), window])
        # which the reference shows: sorting brings no quantile farther off
        loss, sorted_loss = (
            pinball_loss(model.levels, q, future, None) for q in (raw, forecast)
        )
        assert sorted_loss <= loss

    def test_the_loss_is_that_of_the_heads(self):
        model, x, future = (
            make(quantiles=[0.1, 0.5, 0.9]),
            past(),
            torch.randn(2, 24, 3),
        )
        raw = model.branches(x, None, None)['forecast']
        loss = model(x, future, mode='loss')['loss']
        torch.testing.assert_close(loss, pinball_loss(model.levels, raw, future, None))


class TestAuxiliary:
    def batch(self):
        return dict(known=torch.randn(2, 3, 24, 2), static=torch.randn(2, 3, 4))

    @pytest.mark.parametrize('names', [['known'], ['static'], ['known', 'static']])
    def test_any_subset_changes_the_forecast(self, names):
        given = {k: v for k, v in self.batch().items() if k in names}
        model = make(
            future_covariates=2 if 'known' in names else 0,
            static_features=4 if 'static' in names else 0,
        )
        x = past()
        for name in names:
            changed = {**given, name: given[name] + 1}
            assert (model(x, **given) - model(x, **changed)).abs().max() > 1e-4

    def test_a_missing_value_is_masked(self):
        model, x = make(future_covariates=2), past()
        known = self.batch()['known']
        known[0, 1, 3, 0] = float('nan')
        forecast = model(x, known=known)
        assert forecast.isfinite().all()
        zero = known.nan_to_num(0)
        assert (model(x, known=zero) - forecast)[0].abs().max() > 0  # it is told

    @pytest.mark.parametrize(
        ('batch', 'told'),
        [
            (dict(), "no tensor 'known', but future_covariates is set"),
            (
                dict(known=torch.zeros(2, 3, 24, 2), static=torch.zeros(2, 3, 4)),
                "a tensor 'static', but static_features is 0",
            ),
            (dict(known=torch.zeros(2, 3, 23, 2)), r'known must be .* \(2, 3, 24, 2\)'),
        ],
    )
    def test_what_does_not_fit_is_refused(self, batch, told):
        with pytest.raises(ValueError, match=told):
            make(future_covariates=2)(past(), **batch)


class TestModes:
    def test_a_window_is_a_dict(self):
        model = make(quantiles=[0.1, 0.5, 0.9], targets=[2, 0])
        future = torch.randn(2, 24, 2)
        first, second = model(past(), future, mode='predict')
        assert first['quantiles'].shape == (3, 24, 2)
        torch.testing.assert_close(second['quantiles'][1], second['forecast'])
        torch.testing.assert_close(second['target'], future[1])

    def test_targets_are_columns_of_the_whole_forecast(self):
        x = past()
        torch.testing.assert_close(make(targets=[2, 0])(x), make()(x)[..., [2, 0]])

    def test_what_is_not_observed_is_not_learned(self):
        model, x = make(), past()
        future, observed = torch.randn(2, 24, 3), torch.rand(2, 24, 3) > 0.5
        spoilt = torch.where(observed, future, 1e6)
        losses = [
            model(x, one, observed, mode='loss')['loss'] for one in (future, spoilt)
        ]
        torch.testing.assert_close(*losses)
        forecast = model(x)
        expected = (forecast - future).square()[observed].mean()
        torch.testing.assert_close(losses[0], expected)

    @pytest.mark.parametrize('loss', ['mse', 'mae', 'huber'])
    def test_losses(self, loss):
        value = make(loss=loss)(past(), torch.randn(2, 24, 3), mode='loss')['loss']
        assert value > 0

    def test_the_pinball_loss_finds_the_quantiles(self):
        model = TSM2(**SIZES, quantiles=[0.1, 0.5, 0.9])
        target = torch.linspace(0, 1, 1001).view(-1, 1, 1).expand(-1, 24, 3)
        losses = []
        for level in (0.05, 0.1, 0.15):
            guess = torch.tensor([level, 0.5, 0.9]).view(3, 1, 1, 1)
            guess = guess.expand(3, 1001, 24, 3)
            model.branches = lambda *_, guess=guess: dict(forecast=guess)
            losses.append(model(torch.zeros(1001, 64, 3), target, mode='loss')['loss'])
        assert losses[1] < losses[0] and losses[1] < losses[2]


@pytest.mark.parametrize('centre', ['mean', 'last'])
def test_windows_are_flipped_around_the_centre_of_the_look_back(centre):
    model = make(sign_flip=True, centre=centre, targets=[0, 2], dropout=0).train()
    x, future = past(64), torch.randn(64, 24, 2)
    middle = x.mean(1, keepdim=True) if centre == 'mean' else x[:, -1:]
    flipped, target = model.flipped(x, future)
    turned = (flipped - x).abs().amax((1, 2)) > 1e-4
    assert 16 < turned.sum() < 48
    torch.testing.assert_close(flipped[turned], (2 * middle - x)[turned])
    expected = (2 * middle[..., [0, 2]] - future)[turned]
    torch.testing.assert_close(target[turned], expected)
    torch.testing.assert_close(target[~turned], future[~turned])
    losses = {float(model(x, future, mode='loss')['loss']) for _ in range(5)}
    assert len(losses) == 5
    model.eval()
    losses = {float(model(x, future, mode='loss')['loss']) for _ in range(5)}
    assert len(losses) == 1


@pytest.mark.parametrize('centre', ['mean', 'last'])
def test_a_mirrored_forecast_turns_with_its_window(centre):
    x = past()
    middle = x.mean(1, keepdim=True) if centre == 'mean' else x[:, -1:]
    found = {}
    for mirror in (False, True):
        torch.manual_seed(0)
        model = make(sign_flip=True, mirror=mirror, centre=centre)
        torch.nn.init.normal_(model.head.weight, std=0.1)
        found[mirror] = model(x), 2 * middle - model(2 * middle - x)
    upright, turned = found[False]
    assert (upright - turned).abs().max() > 1e-2
    torch.testing.assert_close(*found[True])
    torch.testing.assert_close(found[True][0], (upright + turned) / 2)


@pytest.mark.parametrize(
    ('options', 'told'),
    [
        (dict(mirror=True), 'sign_flip=True and no quantiles, got sign_flip=False'),
        (
            dict(mirror=True, sign_flip=True, quantiles=[0.5]),
            r'got sign_flip=True, quantiles=\[0.5\]: set mirror=False',
        ),
        (dict(time_mixer='mamba'), "time_mixer must be one of .*, got 'mamba'"),
        (dict(variate_mixer='both'), "variate_mixer must be one of .*, got 'both'"),
        (dict(time_mixer='none', variate_mixer='none'), "cannot both be 'none'"),
        (dict(norm='batch'), "norm must be one of '2d', 'token', got 'batch'"),
        (dict(time_scans=4), 'time_scans must be one of 1, 2, got 4'),
        (dict(centre='first'), "centre must be one of .*, got 'first'"),
        (dict(linear_path=dict(maps='all')), r"linear_path.maps must be .* got 'all'"),
        (dict(loss='mape'), "loss must be one of .*, got 'mape'"),
        (dict(quantiles=[0.1, 0.9]), r'hold 0.5, the point forecast, got \[0.1, 0.9\]'),
        (dict(quantiles=[0.5, 0.1]), 'must ascend'),
        (dict(targets=[3]), r'below variates=3, .* got \[3\]'),
        (dict(targets=3), 'targets must be a list of indices .*, got 3'),
        (dict(targets=['a']), r"targets must be .*, got \['a'\]"),
        (dict(targets=[]), r'targets must be .*, got \[\]'),
        (dict(targets=[0, 0]), r'targets must name each variate once, got \[0, 0\]'),
        (dict(quantiles=0.5), 'quantiles must ascend .*, got 0.5'),
        (dict(quantiles=['0.5']), r"quantiles must ascend .*, got \['0.5'\]"),
        (dict(sign_flip=True, future_covariates=2), 'future_covariates=0, got 2'),
        (dict(horizon=0), 'horizon must be an integer from 1, got 0'),
        (dict(d_model=0), 'd_model must be an integer from 1, got 0'),
        (dict(d_model=1.5), 'd_model must be an integer from 1, got 1.5'),
        (dict(depth=0), 'depth must be an integer from 1, got 0'),
        (dict(depth='x'), "depth must be an integer from 1, got 'x'"),
        (dict(expand=0), 'expand must be an integer from 1, got 0'),
        (dict(d_state=0), 'd_state must be an integer from 1, got 0'),
        (dict(patch_len=0), 'patch_len must be an integer from 1, got 0'),
        (dict(stride=0), 'stride must be an integer from 1, got 0'),
        (dict(future_covariates=-1), 'future_covariates must be .* from 0, got -1'),
        (dict(static_features='2'), "static_features must be .* from 0, got '2'"),
        (dict(dropout=float('nan')), r'dropout must be in \[0, 1\), got nan'),
        (dict(dropout='x'), r'dropout must be in \[0, 1\), got x'),
        (dict(averaging='x'), "averaging must be True or False, got 'x'"),
        (dict(sign_flip=2), 'sign_flip must be True or False, got 2'),
        (dict(norm=['2d']), r"norm must be one of '2d', 'token', got \['2d'\]"),
        (dict(centre='first', instance_norm=False), 'centre must be one of'),
        (dict(linear_path='x'), "linear_path must be a dict .*, got 'x'"),
        (
            dict(linear_path=dict(maps='shared', block=2)),
            "linear_path may have .*, got 'block'; did you mean 'blocks'",
        ),
        (
            dict(linear_path=dict(maps='shared', penalties_per_decade='x')),
            "penalties_per_decade must be an integer from 1, got 'x'",
        ),
        (dict(patch_len=65), '64 steps is shorter than a patch, patch_len=65'),
    ],
    ids=str,
)
def test_wrong_options_are_refused(options, told):
    with pytest.raises(ValueError, match=told):
        TSM2(**{**SIZES, **options})


def test_a_look_back_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r'b, 64, 3\), got \(2, 60, 3\)'):
        make()(torch.zeros(2, 60, 3))
