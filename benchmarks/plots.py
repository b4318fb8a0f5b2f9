"""Draw the results of the speed benchmarks and write the tables of docs/speed.md.

    python benchmarks/plots.py

Reads results/scan_cpu.json, scan_limits_cpu.json, swin_cpu.json and, where they are,
scan_gpu.json and cross_scan_gpu.json. Writes plots to resources/ and, in docs/speed.md,
what stands between `<!-- table: NAME -->` and `<!-- end -->`.
"""

import json
import re
from pathlib import Path

import goals
import matplotlib
from scan_cases import MODES
from scan_providers import EXP, OURS

matplotlib.use('agg')
import matplotlib.pyplot as plt

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / 'benchmarks' / 'results'
RESOURCES = ROOT / 'resources'
PAGE = ROOT / 'docs' / 'speed.md'
MARKED = re.compile(r'(<!-- table: (.+?) -->\n).*?(<!-- end -->)', re.DOTALL)
NOT_MEASURED = 'Not measured.'
Table = list[list[str]]


def read(name: str) -> dict | None:
    path = RESULTS / f'{name}.json'
    return json.loads(path.read_text()) if path.is_file() else None


def markdown(table: Table, texts: int = 1) -> str:
    """Return a table whose first columns, `texts` of them, are not numbers."""
    head, *rows = table
    line = ['--'] * texts + ['--:'] * (len(head) - texts)
    return ''.join('| ' + ' | '.join(row) + ' |\n' for row in (head, line, *rows))


def unique(values: list) -> list:
    return list(dict.fromkeys(values))


def scan_table(report: dict, mode: str) -> Table:
    """Return our time, and the ratio of every provider to it, by shape."""
    rows = [row for row in report['rows'] if row['mode'] == mode]
    cells = {(row['shape'], row['provider']): row for row in rows}
    names = unique([row['provider'] for row in rows if row['provider'] != OURS])
    table = [['shape', 'steps x channels', OURS, 'error', *names]]
    for shape in unique([row['shape'] for row in rows]):
        ours = cells[shape, OURS]
        table.append(
            [
                shape,
                f'{ours["l"]} x 4 x {ours["d"]}',
                milliseconds(ours),
                f'{max(ours["errors"].values()):.0e}',
                *(times(cells.get((shape, name))) for name in names),
            ]
        )
    means = report['geometric_means'][mode]
    last = [times(means.get(name)) for name in names]
    table.append(['geometric mean', '', '', '', *last])
    return table


def milliseconds(row: dict) -> str:
    low, high = (1e3 * x for x in row['quartiles'])
    return f'{1e3 * row["seconds"]:.3g} ms ({low:.3g} .. {high:.3g})'


def times(row: dict | None) -> str:
    """Return a ratio, or why there is none."""
    if row is None:
        return ''
    if 'ratio' in row:
        return f'{row["ratio"]:.3g} x'
    return next(reason for reason in ('failed', 'skipped', 'wrong') if reason in row)


def limits_table(report: dict) -> Table:
    """Return rates and ratios of our scan to itself, by shape."""
    cells = {(r['shape'], r['mode'], r['setting']): r for r in report['rows']}
    extra = {(r['shape'], r['mode']): r['mib'] for r in report['memory']}
    settings = unique([r['setting'] for r in report['rows'] if r['setting'] != 'base'])
    table = [['shape', 'mode', 'M elements/s', *settings, 'extra memory']]
    for shape, mode in unique([(r['shape'], r['mode']) for r in report['rows']]):
        row = cells[shape, mode, 'base']
        ratios = [times(cells[shape, mode, name]) for name in settings]
        rate = f'{row["million_elements_per_second"]:.0f}'
        memory = f'{extra[shape, mode]:.2g} MiB'
        table.append([shape, mode, rate, *ratios, memory])
    return table


def swin_table(report: dict) -> Table:
    table = [['network', 'parameters', 'step', 'ms an image', 'quartiles', 'to Swin-T']]
    for row in report['rows']:
        low, high = (1e3 * x / report['batch'] for x in row['quartiles'])
        table.append(
            [
                row['network'],
                f'{row["parameters"] / 1e6:.1f} M',
                row['step'],
                f'{row["ms_per_image"]:.1f}',
                f'{low:.1f} .. {high:.1f}',
                f'{row["ratio_to_swin"]:.2f} x',
            ]
        )
    return table


def shares_table(report: dict) -> Table:
    shares = report['shares']
    table = [['kind of operator', *shares]]
    for kind in next(iter(shares.values())):
        table.append([kind, *(f'{x[kind]:.1f} %' for x in shares.values())])
    return table


def conditions(report: dict) -> str:
    """Return in a sentence where and when a file was made."""
    versions = report['versions']
    device = report.get('device', 'cpu')
    where = report['machine'] if device == 'cpu' else device['name']
    threads = f', {report["threads"]} threads' if 'threads' in report else ''
    text = (
        f'`{report["command"]}` on {where}{threads}, torch {versions["torch"]}, commit '
        f'{report["commit"]}, {report["date"]}; load average {report["load_before"]} '
        f'before, {report["load_after"]} after.'
    )
    absent = ''.join(
        f'- absent: {name}: {reason}\n'
        for name, reason in report.get('absent', {}).items()
    )
    return f'{text}\n{absent and chr(10) + absent}'


def bars(report: dict, path: Path) -> None:
    """Draw the ratio to ours by shape and provider, one panel a mode."""
    drawn = [row for row in report['rows'] if 'ratio' in row]
    modes = unique([row['mode'] for row in drawn])
    names = unique([row['provider'] for row in drawn if row['provider'] != OURS])
    width = 0.85 / len(names)
    figure, axes = plt.subplots(
        len(modes),
        1,
        figsize=(9, 3.2 * len(modes)),
        layout='constrained',
        squeeze=False,
    )
    for axis, mode in zip(axes[:, 0], modes, strict=True):
        rows = [row for row in drawn if row['mode'] == mode]
        shapes = unique([r['shape'] for r in rows])
        for i, name in enumerate(names):
            cells = {r['shape']: r['ratio'] for r in rows if r['provider'] == name}
            x = [j + (i - (len(names) - 1) / 2) * width for j in range(len(shapes))]
            heights = [cells.get(shape, float('nan')) for shape in shapes]
            color = '0.7' if name == EXP else f'C{i}'
            axis.bar(x, [h - 1 for h in heights], width, 1, label=name, color=color)
        axis.axhline(1, color='k', linewidth=1)
        axis.set_yscale('log')
        axis.set_xticks(range(len(shapes)), shapes)
        axis.set(ylabel=f'time over {OURS}', title=mode)
        axis.grid(axis='y', alpha=0.3)
        axis.set_axisbelow(True)
    axes[0, 0].legend(
        fontsize=8, ncols=3, loc='lower center', bbox_to_anchor=(0.5, 1.08)
    )
    figure.savefig(path, dpi=100)
    plt.close(figure)


def model_bars(report: dict, path: Path) -> None:
    """Draw time per image of the networks, and what ours spends it on."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3), layout='constrained')
    steps = unique([row['step'] for row in report['rows']])
    names = unique([row['network'] for row in report['rows']])
    width = 0.8 / len(names)
    for i, name in enumerate(names):
        heights = [r['ms_per_image'] for r in report['rows'] if r['network'] == name]
        x = [j + (i - (len(names) - 1) / 2) * width for j in range(len(steps))]
        marks = axes[0].bar(x, heights, 0.95 * width, label=name)
        axes[0].bar_label(marks, fmt='%.0f', fontsize=8)
    axes[0].set_xticks(range(len(steps)), steps)
    axes[0].set(ylabel='ms an image')
    axes[0].margins(y=0.12)
    axes[0].legend()
    left = [0.0] * len(steps)
    shares = [report['shares'][step] for step in steps]
    for i, kind in enumerate(shares[0]):
        widths = [x[kind] for x in shares]
        axes[1].barh(steps, widths, 0.5, left, label=kind, color=f'C{i}')
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axes[1].set(xlabel=f'% of the time of {names[0]}', xlim=(0, 100))
    axes[1].legend(fontsize=8, ncols=3, loc='lower center', bbox_to_anchor=(0.5, 1))
    figure.savefig(path, dpi=100)
    plt.close(figure)


def tables() -> dict[str, str]:
    """Return all tables by name."""
    scan, limits, swin = (read(f'{x}_cpu') for x in ('scan', 'scan_limits', 'swin'))
    avx2 = read('scan_limits_cpu_avx2')
    measured = {
        'scan on CPU': scan,
        'scan on GPU': read('scan_gpu'),
        '2-D scan on GPU': read('cross_scan_gpu'),
        'limits on CPU': limits,
        'limits on CPU with AVX2': avx2,
        'networks on CPU': swin,
    }
    found = {'goals': NOT_MEASURED}
    if scan and limits:
        # kernels of any instruction set take the same memory: the latest file counts
        latest = max((x for x in (limits, avx2) if x), key=lambda x: x['date'])
        found['goals'] = markdown(
            goals.table(scan, limits | dict(memory=latest['memory'])), 2
        )
    for name, report in measured.items():
        found[f'{name}, conditions'] = conditions(report) if report else NOT_MEASURED
        for mode in MODES:
            known = report and mode in report.get('geometric_means', {})
            text = markdown(scan_table(report, mode)) if known else NOT_MEASURED
            found[f'{name}, {mode}'] = text
    for name in ('limits on CPU', 'limits on CPU with AVX2'):
        report = measured[name]
        found[name] = markdown(limits_table(report)) if report else NOT_MEASURED
    found['networks on CPU'] = markdown(swin_table(swin)) if swin else NOT_MEASURED
    found['shares on CPU'] = markdown(shares_table(swin)) if swin else NOT_MEASURED
    return found


def fill(page: str, found: dict[str, str]) -> str:
    """Return the page with the tables between its markers written anew.

    Raises:
        KeyError: If the page names a table that there is not.
    """

    def write(match: re.Match) -> str:
        return f'{match[1]}\n{found[match[2]].rstrip()}\n\n{match[3]}'

    return MARKED.sub(write, page)


def main() -> None:
    """Draw what there is and fill the page."""
    for name in ('scan_cpu', 'scan_gpu', 'cross_scan_gpu'):
        if report := read(name):
            bars(report, RESOURCES / f'{name}.png')
    if report := read('swin_cpu'):
        model_bars(report, RESOURCES / 'vim2_cpu.png')
    PAGE.write_text(fill(PAGE.read_text(), tables()))
    print(f'wrote {PAGE}')


if __name__ == '__main__':
    main()
