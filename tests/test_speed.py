"""The speed benchmarks: no time for a wrong result, whole files, tables from them."""

import importlib
import json
import math
import re
import sys
from pathlib import Path

import pytest
import torch
from interpreter import interpreter
from warm import python

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
        'aten::native_layer_norm': 'norms',
        'mmmambamixer::gated_norm': 'norms',
        'aten::silu': 'the rest',
    }
    assert {name: kind_of(name) for name in names} == names


def test_rates_and_repeats_are_measured_in_the_interpreter(tmp_path):
    path = tmp_path / 'r.json'
    options = ['--device', 'cpu', '--dtype', 'float32', '--out', path]
    script = ROOT / 'benchmarks' / 'gpu_limits.py'
    run = python(script, '--quick', *options, **interpreter())
    assert run.returncode == 0, run.stderr
    report = json.loads(path.read_text())
    assert report['rates'].keys() == {'exponentials', 'instructions'}
    for row in report['rows']:
        assert row['repeats'] and not row['wrong']
        assert row['share'] == pytest.approx(
            row['least_seconds'] / row['seconds'], rel=1e-3
        )


def test_what_does_not_repeat_is_found(load):
    pytest.importorskip('triton')
    limits, calls = load('gpu_limits'), iter(range(9))
    assert limits.repeats(lambda: torch.ones(2), 3)
    assert not limits.repeats(lambda: (torch.ones(1), torch.tensor(next(calls))), 3)


def test_scans_between_copies_are_the_cross_scan(load):
    vim2, ops = load('vim2'), load('vim2').ops

    def copy(x, one_by_one):
        if not one_by_one:
            x = x[:, None].expand(-1, 4, -1, -1, -1)
        rows, columns = x[:, ::2].flatten(3), x[:, 1::2].mT.flatten(3)
        pairs = rows[:, 0], columns[:, 0], rows[:, 1].flip(-1), columns[:, 1].flip(-1)
        return torch.stack(pairs, 1)

    def merge(y):
        h, w = y.shape[-2:]
        y = y.flatten(3)
        y = y[:, :2] + y[:, 2:].flip(-1)
        return y[:, 0] + y[:, 1].unflatten(-1, (w, h)).mT.flatten(2)

    b, g, h, w, d, n, r = 2, 4, 2, 3, 5, 2, 3
    rest = [torch.randn(b, g, h * w, r), torch.randn(g, d, r), -torch.rand(g, d, n)]
    rest += [*torch.randn(2, b, g, h * w, n), *torch.randn(2, g, d)]
    cross = vim2.between_copies(ops.selective_scan_reference, copy, merge)
    size = dict(routes=ops.CROSS, height=h, width=w)
    for u in (torch.randn(b, h * w, d), torch.randn(b, g, h * w, d)):
        expected = ops.cross_selective_scan(u, *rest, **size)
        torch.testing.assert_close(cross(u, *rest, **size), expected)
    with pytest.raises(ValueError, match='VMamba scans along'):
        cross(u, *rest, routes=ops.CROSS[::-1], height=h, width=w)


@pytest.mark.parametrize('train', [False, True])
def test_networks_are_timed_where_they_agree(load, tmp_path, train, monkeypatch):
    vim2, path = load('vim2'), tmp_path / 'r.json'
    args = ['--size', '32', '--runs', '1', '--threads', '1', '--out', str(path)]
    args += ['--train'] * train
    vim2.main(args)
    report = json.loads(path.read_text())
    assert report['train'] is train
    assert report['seconds'].keys() == report['ratio_to_compiled'].keys()
    assert all(report['ratio_to_compiled'][x] > 0 for x in ('compiled', 'reference'))

    def wrong(*args, **size):
        return vim2.ops.cross_selective_scan(*args, **size).sin()

    monkeypatch.setattr(
        vim2, 'find', lambda _: {'sine': (wrong, vim2.ops.weighted_sum)}
    )
    with pytest.raises(SystemExit, match=r'sine differs by .*: no times'):
        vim2.main(args)


def test_the_page_has_only_tables_that_are_written(load):
    plots, page = load('plots'), (ROOT / 'docs' / 'speed.md').read_text()
    filled = plots.fill(page, plots.tables())
    assert plots.fill(filled, plots.tables()) == filled
    assert len(re.findall('<!-- end -->', page)) == len(plots.MARKED.findall(page))
    assert 'Not measured.' not in page
    table = plots.markdown([['a', 'b'], ['x', '1']])
    assert table == '| a | b |\n| -- | --: |\n| x | 1 |\n'


def test_tables_of_a_gpu_come_with_its_files(load):
    plots = load('plots')
    assert plots.on_gpu({'scan on CPU, forward': 'no GPU'}) == ''
    found = {'training on GPU': 'TABLE', 'training on GPU, conditions': 'WHERE'}
    filled = plots.fill(
        '<!-- table: on GPU -->\n<!-- end -->',
        dict.fromkeys(['on GPU'], plots.on_gpu(found)),
    )
    lines = filled.splitlines()
    assert lines[2].startswith('A training step of ViM2-T') and lines[2].endswith(':')
    assert lines.index('TABLE') < lines.index('WHERE')
    assert plots.fill(filled, {'on GPU': ''}) == '<!-- table: on GPU -->\n<!-- end -->'


def test_result_files_have_a_row_on_a_line(load, tmp_path):
    report = load('report')
    rows = [dict(shape='a', errors=dict(y=1e-7)), dict(shape='b' * 300)]
    content = dict(command='x', absent={}, rows=rows)
    report.write(tmp_path / 'r.json', content)
    text = (tmp_path / 'r.json').read_text()
    assert json.loads(text) == content
    *head, first, opened, long, closed, end, last = text.splitlines()
    assert head == ['{', ' "command": "x",', ' "absent": {},', ' "rows": [']
    assert first == '  {"shape": "a", "errors": {"y": 1e-07}},'
    assert (opened, closed, end, last) == ('  {', '  }', ' ]', '}') and 'bbb' in long


@pytest.mark.parametrize(
    ('name', 'job'),
    [('plots', 'read'), ('forecasting_cost', 'measure'), ('variate_order', 'measure')],
)
def test_help_is_told_and_nothing_runs(load, monkeypatch, capsys, name, job):
    module = load(name)
    monkeypatch.setattr(module, job, lambda *_: pytest.fail('it ran'))
    monkeypatch.setattr(sys, 'argv', [f'{name}.py', '--help'])
    with pytest.raises(SystemExit) as end:
        module.main()
    assert end.value.code == 0
    assert module.__doc__.splitlines()[0] in capsys.readouterr().out


def test_variate_order_takes_pairs(load, monkeypatch, capsys):
    module, pairs = load('variate_order'), []
    monkeypatch.setattr(module, 'measure', lambda *pair: pairs.append(pair))
    monkeypatch.setattr(module, 'write', lambda *_: None)
    monkeypatch.setattr(sys, 'argv', ['variate_order.py', *'abc'])
    with pytest.raises(SystemExit):
        module.main()
    assert 'expected pairs of CONFIG CHECKPOINT' in capsys.readouterr().err
    monkeypatch.setattr(sys, 'argv', ['variate_order.py', *'abcd'])
    module.main()
    assert pairs == [('a', 'b'), ('c', 'd')]
