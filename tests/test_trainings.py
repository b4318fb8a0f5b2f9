"""`benchmarks/trainings.py` reads the right line of a log and counts what it should."""

import importlib
import json
from pathlib import Path

import pytest

pytest.importorskip('mmdet')
pytest.importorskip('mmpretrain')

ROOT = Path(__file__).parents[1]
EPOCHS = 12  # of the nuclei suite


@pytest.fixture
def trainings(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / 'benchmarks'))
    return importlib.import_module('trainings')


@pytest.fixture
def run(trainings, tmp_path, monkeypatch):
    monkeypatch.setattr(trainings.Run, 'folder', tmp_path)
    return trainings.Run('nuclei', 'vim2', 0)


def write_log(run, time: str, *lines: dict) -> None:
    path = run.folder / time / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text(''.join(json.dumps(line) + '\n' for line in lines))


def validated(epoch: int, value: float) -> dict:
    kinds = ('bbox_mAP', 'bbox_mAP_50', 'segm_mAP', 'segm_mAP_50')
    return {f'coco/{kind}': value for kind in kinds} | dict(step=epoch)


def test_metrics_are_those_of_the_last_epoch_of_the_newest_log(run):
    write_log(run, '20200101_000000', validated(EPOCHS, 0.9))
    write_log(
        run,
        '20200102_000000',
        dict(loss=1.0, step=EPOCHS),
        validated(EPOCHS - 4, 0.8),
        validated(EPOCHS, 0.417),
    )
    assert set(run.metrics().values()) == {41.7}


def test_an_unfinished_log_has_no_metrics(run):
    assert run.metrics() is None
    write_log(run, '20200101_000000', validated(EPOCHS - 4, 0.8))
    assert run.metrics() is None


def test_a_table_without_any_finished_log_leaves_the_results(
    trainings, run, monkeypatch
):
    monkeypatch.setattr(trainings, 'write', lambda *_: pytest.fail('it wrote'))
    with pytest.raises(SystemExit, match=r'finished log of nuclei .* none: train'):
        trainings.table('nuclei')


def test_suites_name_configs_that_build(trainings):
    for suite in trainings.SUITES:
        for run in trainings.runs(suite):
            assert (ROOT / run.config).is_file()
    pair = [trainings.Run('nuclei', name, 0) for name in ('vim2', 'resnet18')]
    ours, stock = (run.parameters() for run in pair)
    assert ours['backbone_parameters'] == pytest.approx(
        stock['backbone_parameters'], rel=0.1
    )
    heads = [x['parameters'] - x['backbone_parameters'] for x in (ours, stock)]
    assert heads[0] == pytest.approx(heads[1], rel=0.01)  # the FPN's inputs differ


def test_each_split_is_a_run_of_its_own(trainings):
    runs = trainings.runs('spoken_digits')
    assert len(runs) == 14 and len({run.folder for run in runs}) == 14
    titles = [run.title for run in runs if run.split.endswith('/theo')]
    assert titles == ['vim2-theo-seed0', 'resnet18-theo-seed0']
    ours, stock = (run.parameters()['parameters'] for run in runs[:2])
    assert ours == pytest.approx(stock, rel=0.03)
    rows = [
        dict(network='one', split=split, parameters=1_500_000, top1=top1)
        for split, top1 in (('ann', 40.0), ('bob', 50.0))
    ]
    assert trainings.markdown(rows, ['top1']).splitlines()[2:] == [
        '| one, ann | 1.50 M | 40.00 |',
        '| one, bob | 1.50 M | 50.00 |',
    ]


def test_table_has_a_line_for_each_network(trainings):
    rows = [
        dict(network='one', parameters=1_500_000, AP=40.0),
        dict(network='one', parameters=1_500_000, AP=41.0),
        dict(network='two', parameters=2_000_000, AP=39.0),
    ]
    _, _, one, two = trainings.markdown(rows, ['AP']).splitlines()
    assert one == '| one | 1.50 M | 40.00, 41.00 (mean 40.50) |'
    assert two == '| two | 2.00 M | 39.00 |'
