"""The speed benchmarks: no time for a wrong result, whole files, tables from them."""

import importlib
import json
import math
import re
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
PEER = 'peer'


@pytest.fixture
def load(monkeypatch):
    """Return a function that imports a script of benchmarks/."""
    monkeypatch.syspath_prepend(str(ROOT / 'benchmarks'))
    return importlib.import_module


@pytest.fixture
def scan(load, monkeypatch):
    """Return `scan` with two providers beside ours that the tests set."""
    module = load('scan')
    providers = load('scan_providers')
    ours = providers.Provider(providers.selective_scan)
    found = providers.Found({providers.OURS: ours}, {'other': 'a reason'})
    monkeypatch.setattr(module, 'find', lambda *args: found)

    def run(function, out, *args):
        found.present[PEER] = providers.Provider(function)
        status = module.main([*args, '--quick', '--out', str(out)])
        report = json.loads(out.read_text())
        return status, report, [r for r in report['rows'] if r['provider'] == PEER]

    return run


def test_a_right_result_has_a_time_and_an_error(scan, load, tmp_path, capsys):
    reference = load('scan_cases').selective_scan_reference
    status, report, rows = scan(reference, tmp_path / 'r.json')
    assert status == 0
    assert report['absent'] == {'other': 'a reason'}
    assert 'absent: other: a reason' in capsys.readouterr().out
    assert report['dtype'] == 'float32' and report['batch'] == 1
    assert {'commit', 'machine', 'versions', 'command', 'threads'} <= report.keys()
    assert [r['mode'] for r in rows] == ['forward', 'forward+backward'] * 2
    for row in rows:
        low, high = row['quartiles']
        assert 0 < low <= row['seconds'] <= high
        assert row['rounds'] == 3 and row['calls'] >= 1 and row['ratio'] > 0
        assert all(0 < e < 1e-5 for e in row['errors'].values())
        assert not row['wrong']
    ours = [r for r in report['rows'] if r['provider'] == 'mmmambamixer']
    assert {r['ratio'] for r in ours} == {1.0}
    assert sum(r['provider'] == 'torch.exp' for r in report['rows']) == 2
    assert report['geometric_means']['forward'][PEER]['shapes'] == 2


@pytest.mark.parametrize('factor', [1 + 1e-3, math.nan])
def test_a_wrong_result_has_no_time(scan, load, tmp_path, capsys, factor):
    ours = load('scan_cases').selective_scan_reference
    status, report, rows = scan(lambda **x: factor * ours(**x), tmp_path / 'r.json')
    assert status == 1
    assert all(r['wrong'] and 'seconds' not in r for r in rows)
    assert PEER not in report['geometric_means']['forward']
    assert f'{PEER:<34} wrong: error' in capsys.readouterr().out


def test_a_wrong_gradient_has_no_time(scan, load, tmp_path):
    reference = load('scan_cases').selective_scan_reference

    def constant(u, **others):
        return reference(u=u.detach() + 0 * u, **others)

    status, _, rows = scan(constant, tmp_path / 'r.json')
    assert status == 1
    assert [r['wrong'] for r in rows] == [False, True] * 2
    assert [r['errors'].get('gradients', 0) > 0.1 for r in rows] == [False, True] * 2


def test_what_fails_or_is_too_slow_has_the_reason(scan, tmp_path, load):
    def fails(**inputs):
        raise RuntimeError('no kernel\nand more')

    status, _, rows = scan(fails, tmp_path / 'r.json')
    assert status == 0 and {r['failed'] for r in rows} == {'no kernel'}
    reference = load('scan_cases').selective_scan_reference
    args = ('--shapes', '112x2', '--longest', '0')
    status, _, rows = scan(reference, tmp_path / 'r.json', *args)
    assert status == 0 and all('a call' in r['skipped'] for r in rows)
    assert 'seconds' not in rows[0]


def test_the_providers_that_are_here_are_right(load, tmp_path):
    path = tmp_path / 'r.json'
    args = ['--quick', '--dtype', 'bfloat16', '--batch', '2', '--out', str(path)]
    assert load('scan').main(args) == 0
    report = json.loads(path.read_text())
    names = {row['provider'] for row in report['rows']}
    assert {'mmmambamixer, channels last', 'torch associative_scan'} <= names
    assert not names & report['absent'].keys()
    assert 'runs on GPU only' in report['absent']['mamba_ssm selective_scan_fn']


def test_turns_are_spread_and_paired(load):
    timing = load('timing')
    cost = dict(quick=0.01, slow=1.0)
    result = timing.interleave(
        dict(quick='quick', slow='slow'), lambda name, calls: cost[name], 10, 2.0
    )
    assert list(result['quick']['times']) == list(range(10))
    assert list(result['slow']['times']) == [0, 3, 6]
    assert result['quick']['calls'] == 2 and result['slow']['calls'] == 1
    assert timing.ratio(result['slow'], result['quick']) == 100
    assert timing.summary(result['slow'])['quartiles'] == [1, 1]


def test_the_scan_is_measured_against_itself(load):
    worker, shape = load('scan_worker'), load('scan_cases').Shape('tiny', 12, 3)
    threads = torch.get_num_threads()
    settings = {
        'base': worker.Setting(),
        'half': worker.Setting(dtype='bfloat16', channels_last=False),
    }
    verdicts = worker.prepare(shape, settings, batch=1)
    assert not any(verdict['wrong'] for verdict in verdicts.values())
    assert worker.turn(settings['half'], 'backward', 2) > 0
    assert 0 <= worker.extra_memory(shape, settings['base'], 'forward', 1) < 64
    torch.set_num_threads(threads)


def test_the_core_is_measured_without_vmamba(load, tmp_path, capsys):
    path = tmp_path / 'c.json'
    assert load('cross_scan').main(['--quick', '--out', str(path)]) == 0
    assert 'absent: VMamba' in capsys.readouterr().out
    assert all(r['seconds'] > 0 for r in json.loads(path.read_text())['rows'])


def test_operators_have_their_kind(load):
    pytest.importorskip('mmpretrain')
    kind_of = load('swin').kind_of
    names = {
        'mmmambamixer::cross_selective_scan_backward': 'scan',
        'mmmambamixer::scan_conv': 'scan_conv',
        'aten::mkldnn_convolution': 'convolutions',
        'aten::addmm': 'matrix products',
        'aten::native_layer_norm': 'layer norms',
        'aten::silu': 'the rest',
    }
    assert {name: kind_of(name) for name in names} == names


def test_goals_are_judged_by_mean_or_worst(load):
    goals = load('goals')

    def verdict(at_least, worst, *values):
        goal = goals.Goal('', '', 2, 4, 'x', lambda *_: list(values), at_least, worst)
        return goals.judge(goal, {}, {})

    assert verdict(True, False, 2, 8) == ('4x (2 .. 8)', 'stretch')
    assert verdict(True, True, 2, 8) == ('2x (2 .. 8)', 'must')
    assert verdict(True, False, 1, 2)[1] == 'missed'
    less = goals.Goal('', '', 4, 2, '', lambda *_: [1, 9], False)
    assert goals.judge(less, {}, {}) == ('3 (1 .. 9)', 'must')
    assert verdict(True, False) == ('not measured', '')


def test_the_page_has_only_tables_that_are_written(load):
    plots, page = load('plots'), (ROOT / 'docs' / 'speed.md').read_text()
    filled = plots.fill(page, plots.tables())
    assert plots.fill(filled, plots.tables()) == filled
    assert len(re.findall('<!-- end -->', page)) == len(plots.MARKED.findall(page))
    table = plots.markdown([['a', 'b'], ['x', '1']])
    assert table == '| a | b |\n| -- | --: |\n| x | 1 |\n'
