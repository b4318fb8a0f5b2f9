"""The goals for the scan on CPU, and what the result files say about them."""

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

from scan_providers import EXP, OURS, OURS_CHANNELS_LAST

REF = 'mamba_ssm selective_scan_ref'
OWN_REF = f'{OURS} reference'
PSCAN = 'mamba.py pscan'
EAGER = 'torch associative_scan'
STAGES_1_TO_3 = ('token 1', 'token 2', 'token 3', 'channel 1', 'channel 2', 'channel 3')


class Goal(NamedTuple):
    """A quantity, what it must be, what would be better, and its value by shape.

    `values` takes the results of `scan.py` and of `scan_limits.py`.
    """

    name: str
    quantity: str
    must: float
    stretch: float
    unit: str
    values: Callable[[dict, dict], list[float]]
    at_least: bool = True
    worst: bool = False
    """The worst shape counts, not the geometric mean."""


def ratios(scan: dict, mode: str, provider: str, base: str = OURS) -> list[float]:
    """Return by shape how much slower than `base` a provider is."""
    by_shape = {
        (row['shape'], row['provider']): row['ratio']
        for row in scan['rows']
        if row['mode'] == mode and 'ratio' in row
    }
    return [
        value / by_shape[shape, base]
        for (shape, name), value in by_shape.items()
        if name == provider and (shape, base) in by_shape
    ]


def against(provider: str, mode: str = 'forward') -> Callable[[dict, dict], list]:
    return lambda scan, limits: ratios(scan, mode, provider)


def of_exp(scan: dict, limits: dict) -> list[float]:
    """Return our time over that of torch.exp, where its numbers do not fit caches."""
    rows = [row for row in scan['rows'] if row['shape'] in STAGES_1_TO_3]
    found = ratios(dict(rows=rows), 'forward', EXP, OURS_CHANNELS_LAST)
    return [1 / value for value in found]


def rate(scan: dict, limits: dict) -> list[float]:
    return [
        row['million_elements_per_second']
        for row in limits['rows']
        if row['setting'] == 'base'
        and row['mode'] == 'forward'
        and 'million_elements_per_second' in row
    ]


def memory(scan: dict, limits: dict) -> list[float]:
    return [row['mib'] for row in limits['memory']]


def setting(name: str, inverse: bool) -> Callable[[dict, dict], list[float]]:
    """Return the forward's time of a setting over the base, or the inverse."""

    def values(scan: dict, limits: dict) -> list[float]:
        found = [
            row['ratio']
            for row in limits['rows']
            if row['setting'] == name and row['mode'] == 'forward' and 'ratio' in row
        ]
        return [1 / x for x in found] if inverse else found

    return values


GOALS = (
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
        against(REF, 'forward+backward'),
    ),
    Goal(
        'C3',
        f'forward + backward: autograd through {OWN_REF} over ours',
        *(25, 50, 'x'),
        against(OWN_REF, 'forward+backward'),
    ),
    Goal(
        'C4',
        'forward, channels last, over a bare torch.exp, stages 1-3',
        *(0.6, 0.4, 'x'),
        of_exp,
        at_least=False,
    ),
    Goal(
        'C5',
        'million elements a second and core, slowest shape',
        *(180, 280, ''),
        rate,
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
    Goal('C8', 'speed with AVX2 over AVX-512', 0.5, 0.6, 'x', setting('AVX2', True)),
    Goal('C8', 'speed of 2 threads over 1', 1.8, 1.95, 'x', setting('2 threads', True)),
    Goal(
        'C9',
        'time in bfloat16 over fp32',
        *(1.1, 0.95, 'x'),
        setting('bfloat16', False),
        at_least=False,
    ),
)


def geometric_mean(values: Iterable[float]) -> float:
    logs = [math.log(x) for x in values]
    return math.exp(sum(logs) / len(logs))


def judge(goal: Goal, scan: dict, limits: dict) -> tuple[str, str]:
    """Return what was measured, with the range over the shapes, and the verdict."""
    values = goal.values(scan, limits)
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


def table(scan: dict, limits: dict) -> list[list[str]]:
    """Return head and rows of the table of goals."""
    rows = [['', 'quantity', 'must', 'stretch', 'measured (range)', 'reached']]
    for goal in GOALS:
        sign = '>=' if goal.at_least else '<='
        bounds = [f'{sign} {x:g}{goal.unit}' for x in (goal.must, goal.stretch)]
        rows.append([goal.name, goal.quantity, *bounds, *judge(goal, scan, limits)])
    return rows
