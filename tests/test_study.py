"""The study of ViM2's parts: what pairs share, resuming, statistics."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmmambamixer.evaluation.result_rows import RowsError, held

pd = pytest.importorskip('pandas')
pytest.importorskip('sklearn')
ROOT = Path(__file__).parents[1]


@pytest.fixture
def study(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / 'benchmarks'))
    return importlib.import_module('study')


@pytest.fixture
def report(study):
    return importlib.import_module('study_report')


def test_networks_differ_in_one_part_of_equal_size(study):
    networks = study.NETWORKS['parameters']
    default = study.build(networks[study.DEFAULT], 3).state_dict()
    size = sum(weight.numel() for weight in default.values())
    for name, network in networks.items():
        weights = study.build(network, 3).state_dict()
        assert sum(w.numel() for w in weights.values()) == pytest.approx(size, rel=0.02)
        for key in weights.keys() & default.keys():
            same = weights[key].shape == default[key].shape
            if same and not (name == 'mean' and '.averages.' in key):
                torch.testing.assert_close(weights[key], default[key])
    mean = study.build(networks['mean'], 3).backbone.stages[1].averages[3].weights
    assert mean.tolist() == [0.25] * 4


def test_only_matrices_decay_and_averages_have_a_rate_of_their_own(study):
    network = study.NETWORKS['parameters']['averages-lr']
    model = study.build(network, 0)
    decay, flat, averages = study.optimizer_of(model, network).param_groups
    assert averages['lr'] == 10 * decay['lr'] == 10 * flat['lr']
    assert decay['weight_decay'] > 0 == flat['weight_decay'] == averages['weight_decay']
    assert all(weight.ndim > 1 for weight in decay['params'])
    states = [unit.mixer.s6.A_log for unit in model.backbone.stages[1].mixers]
    ids = {id(weight) for weight in flat['params']}
    assert all(id(weight) in ids for weight in states)


def test_a_seed_decides_the_training(study, monkeypatch):
    monkeypatch.setattr(study, 'TRAIN_IMAGES', 8)
    monkeypatch.setattr(study, 'TEST_IMAGES', 8)
    monkeypatch.setattr(study, 'BATCH', 4)
    monkeypatch.setattr(study, 'EPOCHS', 1)
    data, network = study.digits(), study.NETWORKS['parameters']['scans1']
    losses = [study.train(network, data, seed)['loss'] for seed in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]


def test_a_stopped_study_goes_on_and_an_unfinished_seed_does_not_count(
    study, report, monkeypatch, tmp_path
):
    for module in (study, report):
        monkeypatch.setattr(module, 'RESULTS', tmp_path / 'study.csv')
    trained = []

    def train(network, data, seed):
        if len(trained) == 30:
            raise KeyboardInterrupt
        trained.append((network.text, network.widths, data, seed))
        return dict(accuracy=50.0, loss=1.0, parameters=1, seconds=1.0)

    monkeypatch.setattr(study, 'train', train)
    datasets = dict(digits='a', eurosat='b')
    with pytest.raises(KeyboardInterrupt):
        study.run(datasets, range(2))
    assert set(report.read_runs().seed) == {0}
    first, trained[:] = [*trained], []
    study.run(datasets, range(2))
    assert len(first) + len(trained) == len({*first, *trained}) == 48
    assert set(report.read_runs().seed) == {0, 1}


@pytest.fixture
def rows(study, report, monkeypatch, tmp_path):
    """Return the file of the results, and what was trained in this test."""
    path, trained = tmp_path / 'study.csv', []
    for module in (study, report):
        monkeypatch.setattr(module, 'RESULTS', path)

    def train(network, data, seed):
        trained.append(seed)
        return dict(accuracy=50.0, loss=1.0, parameters=1, seconds=1.0)

    monkeypatch.setattr(study, 'train', train)
    return path, trained


def test_a_half_line_ends_the_study_before_it_trains(study, report, rows):
    path, trained = rows
    path.touch()
    study.run(dict(digits='a'), range(1))
    whole = path.read_bytes()
    assert whole.startswith(b'comparison,dataset,network,seed,accuracy')
    trained.clear()
    for cut in (whole[:-2], whole[: whole.rindex(b',50.0') + 3], whole[:20]):
        path.write_bytes(cut)
        for use in (lambda: study.run(dict(digits='a'), range(2)), report.read_runs):
            with pytest.raises(RowsError, match=r'study\.csv, line \d+: .*delete this'):
                use()
        assert path.read_bytes() == cut and trained == []


def test_the_report_refuses_a_row_that_is_there_twice(study, report, rows):
    path, _ = rows
    study.run(dict(digits='a'), range(2))
    assert set(report.read_runs().seed) == {0, 1}
    path.write_bytes(path.read_bytes() + path.read_bytes().splitlines(True)[-1])
    with pytest.raises(RowsError, match='expected one line of time, digits, mlp, 1'):
        report.read_runs()


def test_a_second_study_meanwhile_is_refused(study, rows, monkeypatch):
    path, trained = rows
    for name in ('digits', 'eurosat', 'spoken_digits'):
        monkeypatch.setattr(study, name, lambda *_: 'images')
    monkeypatch.setattr(sys, 'argv', ['study.py', 'run', '--seeds', '1'])
    with held(path), pytest.raises(SystemExit, match='another run holds'):
        study.main()
    assert trained == []
    study.main()
    assert len(trained) == 36


def test_help_of_the_report_writes_nothing(report, monkeypatch, capsys):
    monkeypatch.setattr(report, 'read_runs', lambda: pytest.fail('it ran'))
    monkeypatch.setattr(sys, 'argv', ['study_report.py', '--help'])
    with pytest.raises(SystemExit) as end:
        report.main()
    assert end.value.code == 0 and 'Tabulate and draw' in capsys.readouterr().out


def test_differences_are_to_the_default_of_the_same_seed(study, report):
    generator = np.random.default_rng(0)
    rows = []
    for seed in range(10):
        for dataset in ('digits', 'eurosat', 'spoken_digits'):
            level = generator.normal(60, 20)  # what the pairs share
            for comparison, networks in study.NETWORKS.items():
                for network in networks:
                    gain = 2.0 if network == 'token' else 0.0
                    key = comparison, dataset, network, seed
                    rows.append((*key, level + gain + generator.normal(0, 0.5)))
    runs = pd.DataFrame(rows, columns=study.COLUMNS[:5])
    table = report.differences(runs, 'accuracy')
    assert len(table) == 33 and (table.low < table['mean']).all()
    shown = table[table.p_holm < 0.05].index.get_level_values('network')
    assert {*shown} == {'token'}
    for dataset, family in {'digits': 22, 'spoken_digits': 11}.items():
        token = table.loc['parameters', dataset, 'token']
        assert token.low < 2.0 < token.high and token.high - token.low < 1.5
        assert token.p == pytest.approx(2 / 2**10)  # all ten signs agree
        assert token.p_holm == pytest.approx(family * token.p)


def test_spectrograms_are_halved_in_time_and_moved_within_bounds(study, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'docs/spoken_digits\.md'):
        study.spoken_digits(tmp_path)
    bands, frames = np.mgrid[:32, :64]
    for digit in range(2):
        word = (bands == 9 + digit) & (frames // 2 == 12)  # a pixel at half the size
        (tmp_path / 'images' / str(digit)).mkdir(parents=True)
        path = tmp_path / 'images' / str(digit) / f'{digit}_theo_0.png'
        Image.fromarray(255 * word.astype(np.uint8)).save(path)
    data = study.spoken_digits(tmp_path)
    assert data.images.shape == (2, 3, 32, 32) and data.labels.tolist() == [0, 1]
    generator = torch.Generator().manual_seed(0)
    assert data.for_test(data.images, generator) is data.images
    images = data.images[[0] * 400]
    moved = data.for_training(images, generator)
    assert moved.unique().tolist() == images.unique().tolist()  # silence and the word
    assert (moved > 0).sum((2, 3)).unique().tolist() == [1]
    heights, widths = (moved[:, 0].amax(axis).argmax(1) for axis in (2, 1))
    assert {*heights.tolist()} == {*range(7, 12)}
    assert {*widths.tolist()} == {*range(8, 17)}


def test_holm_multiplies_by_the_number_that_is_left(report):
    p = np.array([0.01, 0.04, 0.03, 0.005])
    np.testing.assert_allclose(report.holm(p), [0.03, 0.06, 0.06, 0.02])
