"""Time calls in turns, so that a machine that slows down slows all of them."""

import math
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

Call = Callable[[], object]
TURN = 0.02
"""Seconds: a short call is repeated until a turn takes about so long."""

MOST_CALLS = 50
FEWEST_ROUNDS = 3
L2_BYTES = 256 * 2**20
"""More than the L2 cache of any GPU."""


def cpu_seconds(call: Call, calls: int) -> float:
    """Return the mean time of `calls` calls."""
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - start) / calls


class CUDATimer:
    """Time calls by CUDA events, each after the L2 cache was overwritten."""

    def __init__(self) -> None:
        self.cache = torch.empty(L2_BYTES, dtype=torch.int8, device='cuda')

    def __call__(self, call: Call, calls: int) -> float:
        """Return the median time of `calls` calls."""
        events = [
            [torch.cuda.Event(enable_timing=True) for _ in range(2)]
            for _ in range(calls)
        ]
        for start, end in events:
            self.cache.zero_()
            start.record()
            call()
            end.record()
        torch.cuda.synchronize()
        return statistics.median(a.elapsed_time(b) for a, b in events) / 1e3


def timer(device: str) -> Callable[[Call, int], float]:
    return CUDATimer() if device == 'cuda' else cpu_seconds


def interleave(
    calls: Mapping[str, object],
    seconds: Callable[[object, int], float],
    rounds: int,
    budget: float,
) -> dict[str, dict]:
    """Time all calls, one turn each a round.

    Args:
        calls: What to time, by name; every call was made before.
        seconds: Returns the time of one of many calls, as `cpu_seconds` does.
        rounds: Rounds at most.
        budget: Seconds for each name; a slow one takes part in fewer rounds, evenly
            spread, but in `FEWEST_ROUNDS`.

    Returns:
        By name `calls` of a turn and `times`, the seconds of a call by round.
    """
    results, turns = {}, {}
    for name, call in calls.items():
        once = seconds(call, 1)  # also the warm-up
        count = min(MOST_CALLS, max(1, math.ceil(TURN / max(once, 1e-6))))
        wanted = int(min(rounds, budget / max(once * count, 1e-6)))
        wanted = max(wanted, min(rounds, FEWEST_ROUNDS))
        turns[name] = {i * rounds // wanted for i in range(wanted)}
        results[name] = dict(calls=count, times={})
    for i in range(rounds):
        for name, call in calls.items():
            if i in turns[name]:
                result = results[name]
                result['times'][i] = seconds(call, result['calls'])
    return results


def summary(result: Mapping) -> dict:
    """Return median, quartiles and the number of rounds of a result."""
    times = list(result['times'].values())
    low, middle, high = quartiles(times)
    return dict(
        seconds=_short(middle),
        quartiles=[_short(low), _short(high)],
        rounds=len(times),
        calls=result['calls'],
    )


def ratio(result: Mapping, base: Mapping) -> float:
    """Return the median of the times over those of `base` in the same rounds."""
    times, others = result['times'], base['times']
    common = times.keys() & others.keys()
    if common:
        return _short(statistics.median(times[i] / others[i] for i in common))
    medians = [statistics.median(x.values()) for x in (times, others)]
    return _short(medians[0] / medians[1])


def quartiles(values: list[float]) -> list[float]:
    if len(values) == 1:
        return values * 3
    return statistics.quantiles(values, n=4, method='inclusive')


def _short(x: float) -> float:
    return float(f'{x:.4g}')


def load() -> str:
    """Return the machine's load average, which says whether it was quiet."""
    path = Path('/proc/loadavg')
    return ' '.join(path.read_text().split()[:3]) if path.is_file() else 'unknown'


def gpu() -> dict:
    """Return name and clocks of the GPU."""
    fields = 'clocks.sm,clocks.mem,power.draw,temperature.gpu'
    command = ['nvidia-smi', f'--query-gpu={fields}', '--format=csv,noheader']
    try:
        run = subprocess.run(command, capture_output=True, text=True)
        clocks = run.stdout.strip() or 'unknown'
    except FileNotFoundError:
        clocks = 'unknown'
    return dict(name=torch.cuda.get_device_name(), clocks=clocks, fields=fields)
