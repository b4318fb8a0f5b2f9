"""Draw the results of the speed benchmarks and write the tables of docs/speed.md.

    python benchmarks/plots.py

Reads the files in results/ that there are. Writes plots to resources/ and, in
docs/speed.md, what stands between `<!-- table: NAME -->` and `<!-- end -->`.
"""

import argparse
import json
import re
import statistics
from pathlib import Path

import matplotlib
from scan_cases import MODES
from scan_providers import EXP, OURS

matplotlib.use('agg')
import matplotlib.pyplot as plt
from matplotlib.ticker import LogLocator

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / 'benchmarks' / 'results'
RESOURCES = ROOT / 'resources'
PAGE = ROOT / 'docs' / 'speed.md'
MARKED = re.compile(r'(<!-- table: (.+?) -->\n).*?(<!-- end -->)', re.DOTALL)
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
        f'`{report["command"]}` on {where}{threads}, torch {versions["torch"]}, triton '
        f'{versions["triton"]}, commit {report["commit"]}, {report["date"]}'
    )
    if 'load_before' in report:
        before, after = report['load_before'], report['load_after']
        text += f'; load average {before} before, {after} after'
    text += '.'
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


def resolution_table(report: dict) -> Table:
    """Return time and memory by size of the image, a column for each network."""
    cells = {(r['network'], r['size'], r['step']): r for r in report['rows']}
    names = unique([row['network'] for row in report['rows']])
    table = [['step', 'side in pixels', *names]]
    for step, size in sorted(
        unique([(row['step'], row['size']) for row in report['rows']])
    ):
        found = (cells.get((name, size, step)) for name in names)
        table.append([step, str(size), *map(time_and_memory, found)])
    return table


def time_and_memory(row: dict | None) -> str:
    if row is None:
        return ''
    if 'failed' in row:
        return row['failed']
    return f'{row["seconds"]:.3g} s, {row["mib"]} MiB'


def resolution_lines(report: dict, path: Path) -> None:
    """Draw time and memory of each step by the number of pixels."""
    steps = unique([row['step'] for row in report['rows']])
    names = unique([row['network'] for row in report['rows']])
    figure, axes = plt.subplots(
        2, len(steps), figsize=(3.2 * len(steps), 5), layout='constrained', sharex=True
    )
    for i, (field, label) in enumerate(
        (('seconds', 's'), ('mib', 'MiB beyond weights'))
    ):
        for j, step in enumerate(steps):
            for k, name in enumerate(names):
                points = sorted(  # a case that ran again comes last
                    (row['size'], row[field])
                    for row in report['rows']
                    if (row['network'], row['step']) == (name, step) and field in row
                )
                x, y = zip(*points, strict=True) if points else ((), ())
                axes[i, j].loglog(x, y, 'o-', ms=3, label=name, color=f'C{k}')
            axes[i, j].yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes[i, j].yaxis.set_major_formatter('{x:g}')
            axes[i, j].grid(alpha=0.3)
        axes[i, 0].set_ylabel(label)
    sizes = unique([row['size'] for row in report['rows']])
    for j, step in enumerate(steps):
        axes[0, j].set_title(step, fontsize=9)
        axes[1, j].set(xlabel='side of the image in pixels')
        axes[1, j].set_xticks(sizes, sizes, fontsize=7, rotation=45)
        axes[1, j].minorticks_off()
        axes[0, j].minorticks_off()
    axes[0, 0].legend(fontsize=8)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def limits_gpu_table(report: dict) -> Table:
    """Return times and shares of the hardware's rates, by shape."""
    table = [['shape', 'mode', 'time', 'bounding unit alone', 'share', 'repeats']]
    for row in report['rows']:
        cells = ['wrong', '', '']
        if 'share' in row:
            least = f'{1e3 * row["least_seconds"]:.3g} ms'
            cells = [milliseconds(row), least, f'{100 * row["share"]:.0f} %']
        repeats = 'yes' if row['repeats'] else 'no'
        table.append([row['shape'], row['mode'], *cells, repeats])
    return table


def training_table(report: dict) -> Table:
    table = [['ops', 'ms a step', 'over ours']]
    for name, times in report['seconds'].items():
        ratio = f'{report["ratio_to_compiled"][name]:.2f} x'
        table.append([name, f'{1e3 * statistics.median(times):.1f}', ratio])
    return table


def budget_table(report: dict) -> Table:
    """Return the most instructions of each kernel that has a limit, by GPU."""
    rows = [row for row in report['rows'] if 'cost' in row]
    gpus = unique([row['capability'] for row in rows])
    table = [['kernel', *(f'sm_{gpu}' for gpu in gpus), 'limit']]
    for case, kernel in unique([(row['case'], row['kernel']) for row in rows]):
        own = [row for row in rows if (row['case'], row['kernel']) == (case, kernel)]
        most = [
            max(row['cost'] for row in own if row['capability'] == gpu) for gpu in gpus
        ]
        cells = (f'{cost:.2f}' for cost in most)
        table.append([f'{case}: {kernel}', *cells, str(own[0]['limit'])])
    return table


SCANS = {
    'scan on CPU': 'scan_cpu',
    'scan on GPU': 'scan_gpu',
    'scan on GPU, even steps': 'scan_gpu_even',
    'scan on GPU, batch 1': 'scan_gpu_one',
    '2-D scan on GPU': 'cross_scan_gpu',
}
"""Files with a table for each mode."""

OTHERS = {
    'limits on CPU': ('scan_limits_cpu', limits_table, 1),
    'limits on CPU with AVX2': ('scan_limits_cpu_avx2', limits_table, 1),
    'networks on CPU': ('swin_cpu', swin_table, 1),
    'shares on CPU': ('swin_cpu', shares_table, 1),
    'resolution on CPU': ('resolution_cpu', resolution_table, 1),
    'limits on GPU': ('gpu_limits', limits_gpu_table, 2),
    'training on GPU': ('vim2_train_gpu', training_table, 1),
    'instructions on GPU': ('kernel_budget', budget_table, 1),
}
"""Files with one table: what makes it, and how many of its columns are texts."""

ON_GPU = {
    'limits on GPU': 'The plain op, beside the time in which the unit that bounds the '
    'kernel would do its work alone',
    'scan on GPU': 'The plain op beside others',
    'scan on GPU, even steps': "Numbers of steps that suit mamba_ssm's kernel best",
    'scan on GPU, batch 1': 'One image',
    '2-D scan on GPU': "The core of a token mixer, beside VMamba's `SS2D.forward_core`",
    'training on GPU': 'A training step of ViM2-T, with our ops and with others',
}
"""Captions of what `make bench-gpu` measures; the page has those that there are."""


def tables() -> dict[str, str]:
    """Return by name the tables of the files that are there, and their conditions."""
    found = {}
    for name, file in SCANS.items():
        if report := read(file):
            found[f'{name}, conditions'] = conditions(report)
            for mode in report['geometric_means']:
                found[f'{name}, {mode}'] = markdown(scan_table(report, mode))
    for name, (file, make, texts) in OTHERS.items():
        if report := read(file):
            found[f'{name}, conditions'] = conditions(report)
            found[name] = markdown(make(report), texts)
    return {**found, 'on GPU': on_gpu(found)}


def on_gpu(found: dict[str, str]) -> str:
    """Return all tables of measurements on a GPU below their captions, or ''."""
    text = ''
    for name, caption in ON_GPU.items():
        if f'{name}, conditions' in found:
            parts = (name, *(f'{name}, {mode}' for mode in MODES))
            parts = [
                found[part] for part in (*parts, f'{name}, conditions') if part in found
            ]
            text += '\n'.join([f'{caption}:\n', *parts, ''])
    return text


def fill(page: str, found: dict[str, str]) -> str:
    """Return the page with the tables between its markers written anew.

    Raises:
        KeyError: If the page names a table that there is not.
    """

    def write(match: re.Match) -> str:
        text = found[match[2]].rstrip()
        return f'{match[1]}\n{text}\n\n{match[3]}' if text else f'{match[1]}{match[3]}'

    return MARKED.sub(write, page)


def main() -> None:
    """Draw what there is and fill the page."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    for name in ('scan_cpu', 'scan_gpu', 'cross_scan_gpu'):
        if report := read(name):
            bars(report, RESOURCES / f'{name}.png')
    for name in ('resolution_cpu', 'resolution_gpu'):
        if report := read(name):
            resolution_lines(report, RESOURCES / f'{name}.png')
    if report := read('swin_cpu'):
        model_bars(report, RESOURCES / 'vim2_cpu.png')
    PAGE.write_text(fill(PAGE.read_text(), tables()))
    print(f'wrote {PAGE}')


if __name__ == '__main__':
    main()
