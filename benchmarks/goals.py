"""The goals for the scan on CPU and GPU, and what the result files say about them."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from scan_providers import EXP, OURS, OURS_CHANNELS_LAST

FN, REF = (f'mamba_ssm selective_scan_{x}' for x in ('fn', 'ref'))
OWN_REF = f'{OURS} reference'
PSCAN = 'mamba.py pscan'
EAGER = 'torch associative_scan'
VMAMBA = 'VMamba SS2D.forward_core'
STAGES_1_TO_3 = ('token 1', 'token 2', 'token 3', 'channel 1', 'channel 2', 'channel 3')

Reports = Mapping[str, dict | None]
"""Result files by name, None where there is none."""

Values = Callable[[Reports], list[float]]


class Goal(NamedTuple):
    """A quantity, what it must be, what would be better, and its values by shape."""

    name: str
    quantity: str
    must: float
    stretch: float
    unit: str
    values: Values
    at_least: bool = True
    worst: bool = False
    """The worst shape counts, not the geometric mean."""


def rows_of(report: dict | None, **wanted: object) -> list[dict]:
    """Return the rows of a report that have these values."""
    rows = report['rows'] if report else []
    return [row for row in rows if wanted.items() <= row.items()]


def ratios(
    report: dict | None, mode: str, provider: str, base: str = OURS
) -> list[float]:
    """Return by shape how much slower than `base` a provider is."""
    by_shape = {
        (row['shape'], row['provider']): row['ratio']
        for row in rows_of(report, mode=mode)
        if 'ratio' in row
    }
    return [
        value / by_shape[shape, base]
        for (shape, name), value in by_shape.items()
        if name == provider and (shape, base) in by_shape
    ]


def against(
    provider: str,
    mode: str = 'forward',
    base: str = OURS,
    file: str = 'scan_cpu',
    shapes: Iterable[str] | None = None,
) -> Values:
    """Return the quantity `ratios` of a file, of all shapes or of some."""

    def values(reports: Reports) -> list[float]:
        rows = rows_of(reports[file])
        if shapes is not None:
            rows = [row for row in rows if row['shape'] in shapes]
        return ratios(dict(rows=rows), mode, provider, base)

    return values


def inverse(values: Values) -> Values:
    return lambda reports: [1 / value for value in values(reports)]


def field(file: str, name: str, **wanted: object) -> Values:
    """Return a field of the rows of a file that have it and the wanted values."""
    return lambda reports: [
        row[name] for row in rows_of(reports[file], **wanted) if name in row
    ]


def memory(reports: Reports) -> list[float]:
    report = reports['scan_limits_memory']
    return [row['mib'] for row in report['memory']] if report else []


def share(mode: str) -> Values:
    """Return the share of the time of the bounding unit, stages 1 to 3."""
    return lambda reports: [
        row['share']
        for row in rows_of(reports['gpu_limits'], mode=mode)
        if row['shape'] in STAGES_1_TO_3 and 'share' in row
    ]


def memory_over_vmamba(name: str) -> Values:
    """Return by shape our memory over VMamba's."""

    def values(reports: Reports) -> list[float]:
        sides = [
            {
                row['shape']: row[name]
                for row in rows_of(reports['cross_scan_gpu'], provider=provider)
                if name in row
            }
            for provider in (OURS, VMAMBA)
        ]
        ours, theirs = sides
        return [ours[shape] / theirs[shape] for shape in ours if shape in theirs]

    return values


def instructions(kernel: str) -> Values:
    """Return what a kernel executes on each GPU, without step sizes of high rank."""
    return lambda reports: [
        row['cost']
        for row in rows_of(reports['kernel_budget'], kernel=kernel)
        if 'cost' in row and 'rank' not in row['case']
    ]


def training(reports: Reports) -> list[float]:
    report = reports['vim2_train_gpu']
    found = report['ratio_to_compiled'].items() if report else ()
    return [ratio for name, ratio in found if FN in name]


BOTH = 'forward+backward'
base_forward = dict(setting='base', mode='forward')
CPU_GOALS = (
    Goal('C1', f'forward: {REF} over ours', 40, 80, 'x', against(REF)),
    Goal('C2', f'forward: {PSCAN} over ours', 100, 200, 'x', against(PSCAN)),
    Goal('C2', f'forward: {EAGER} over ours', 50, 100, 'x', against(EAGER)),
    Goal(
        'C2',
        f'forward: {EAGER}, compiled, over ours',
        *(5, 10, 'x'),
        against(f'{EAGER}, compiled'),
    ),
    Goal(
        'C3',
        f'forward + backward: autograd through {REF} over ours',
        *(25, 50, 'x'),
        against(REF, BOTH),
    ),
    Goal(
        'C3',
        f'forward + backward: autograd through {OWN_REF} over ours',
        *(25, 50, 'x'),
        against(OWN_REF, BOTH),
    ),
    Goal(
        'C4',
        'forward, channels last, over a bare torch.exp, stages 1-3',
        *(0.6, 0.4, 'x'),
        inverse(against(EXP, base=OURS_CHANNELS_LAST, shapes=STAGES_1_TO_3)),
        at_least=False,
    ),
    Goal(
        'C5',
        'million elements a second and core, slowest shape',
        *(180, 280, ''),
        field('scan_limits_cpu', 'million_elements_per_second', **base_forward),
        worst=True,
    ),
    Goal(
        'C7',
        'memory beyond inputs and results, one thread, largest of all',
        *(4, 1, ' MiB'),
        memory,
        at_least=False,
        worst=True,
    ),
    Goal(
        'C8',
        'speed with AVX2 over AVX-512',
        *(0.5, 0.6, 'x'),
        inverse(field('scan_limits_cpu', 'ratio', setting='AVX2', mode='forward')),
    ),
    Goal(
        'C8',
        'speed of 2 threads over 1',
        *(1.8, 1.95, 'x'),
        inverse(field('scan_limits_cpu', 'ratio', setting='2 threads', mode='forward')),
    ),
    Goal(
        'C9',
        'time in bfloat16 over fp32',
        *(1.1, 0.95, 'x'),
        field('scan_limits_cpu', 'ratio', setting='bfloat16', mode='forward'),
        at_least=False,
    ),
)


def against_mamba(mode: str, file: str = 'scan_gpu', **others) -> Values:
    """Return the times of mamba_ssm's kernel over ours, channels last."""
    return against(FN, mode, OURS_CHANNELS_LAST, file, **others)


GPU_GOALS = (
    Goal('G1', f'forward: {FN} over ours', 3, 5, 'x', against_mamba('forward')),
    Goal(
        'G2',
        'the same, worst shape',
        *(2, 3.5, 'x'),
        against_mamba('forward'),
        worst=True,
    ),
    Goal(
        'G2',
        'the same at 2048 and 4096 steps',
        *(1.5, 2.2, 'x'),
        against_mamba('forward', 'scan_gpu_even'),
        worst=True,
    ),
    Goal('G3', f'forward + backward: {FN} over ours', 2.5, 4, 'x', against_mamba(BOTH)),
    Goal(
        'G4',
        'forward, 49 steps: the same',
        *(6, 10, 'x'),
        against_mamba('forward', shapes=('token 4',)),
    ),
    Goal(
        'G5',
        f'2-D core, forward: {VMAMBA} over ours',
        *(3, 5, 'x'),
        against(VMAMBA, file='cross_scan_gpu'),
    ),
    Goal(
        'G5',
        f'2-D core, forward + backward: {VMAMBA} over ours',
        *(2.5, 4, 'x'),
        against(VMAMBA, BOTH, file='cross_scan_gpu'),
    ),
    Goal(
        'G6',
        'forward: share of the rate of exponentials, stages 1-3',
        *(0.55, 0.8, ''),
        share('forward'),
    ),
    Goal(
        'G7',
        'backward: share of the rate of instructions, stages 1-3',
        *(0.4, 0.6, ''),
        share('backward'),
    ),
    Goal(
        'G10',
        f'batch 1, forward at stage 1: {FN} over ours',
        *(1.3, 2, 'x'),
        against_mamba('forward', 'scan_gpu_one'),
    ),
    Goal(
        'G11',
        '2-D core: what is kept for the backward, ours over VMamba',
        *(1 / 3, 1 / 5, 'x'),
        memory_over_vmamba('saved_mib'),
        at_least=False,
    ),
    Goal(
        'G11',
        '2-D core: peak, ours over VMamba',
        *(1 / 3, 1 / 4, 'x'),
        memory_over_vmamba('peak_mib'),
        at_least=False,
    ),
    Goal(
        'G12',
        f'training step of ViM2-T: with {FN} and csm_triton over ours',
        *(2, 3, 'x'),
        training,
    ),
    Goal(
        'G13',
        'instructions for an element and state, forward, any GPU',
        *(8, 6.7, ''),
        instructions('forward'),
        at_least=False,
        worst=True,
    ),
    Goal(
        'G13',
        'instructions for an element and state, backward, any GPU',
        *(30, 22, ''),
        instructions('backward'),
        at_least=False,
        worst=True,
    ),
    Goal(
        'G14',
        'the same bits in 20 runs, share of shapes',
        *(1, 1, ''),
        field('gpu_limits', 'repeats'),
        worst=True,
    ),
)


def geometric_mean(values: Iterable[float]) -> float:
    logs = [math.log(x) for x in values]
    return math.exp(sum(logs) / len(logs))


def judge(goal: Goal, reports: Reports) -> tuple[str, str]:
    """Return what was measured, with the range over the shapes, and the verdict."""
    values = goal.values(reports)
    if not values:
        return 'not measured', ''
    low, high = min(values), max(values)
    extreme = low if goal.at_least else high
    value = extreme if goal.worst else geometric_mean(values)
    sign = 1 if goal.at_least else -1
    verdict = 'missed'
    if sign * value >= sign * goal.must:
        verdict = 'stretch' if sign * value >= sign * goal.stretch else 'must'
    text = f'{value:.3g}{goal.unit} ({low:.3g} .. {high:.3g})'
    return text, verdict


def table(goals: Iterable[Goal], reports: Reports) -> list[list[str]]:
    """Return head and rows of a table of goals."""
    rows = [['', 'quantity', 'must', 'stretch', 'measured (range)', 'reached']]
    for goal in goals:
        sign = '>=' if goal.at_least else '<='
        bounds = [f'{sign} {x:.3g}{goal.unit}' for x in (goal.must, goal.stretch)]
        rows.append([goal.name, goal.quantity, *bounds, *judge(goal, reports)])
    return rows
