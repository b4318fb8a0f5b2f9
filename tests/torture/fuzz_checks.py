"""What a random call of an op has to hold, and the smallest call that does not."""

from collections.abc import Iterator

import torch
from fuzz_cases import Case, call_of, placed
from fuzz_layouts import contents
from torch import Tensor

from mmmambamixer.ops.testing import Evaluation, check, evaluate

SLACK = 4.0
"""How much greater errors may be in Triton's interpreter: it cuts 16 bits off."""


def problem(case: Case, interpreted: bool = False) -> str | None:
    """Return what is wrong with the call that `case` describes, or None.

    Results and all gradients are compared with the reference in fp64. The same bits
    have to come without gradients, again, perhaps by two threads, and with gradients of
    only some inputs. The inputs, and the NaNs around them, stay as they are.

    Triton's interpreter is slow and repeats itself: there the first comparison, and
    that nothing is changed, has to do.
    """
    try:
        _run(case, interpreted)
    except Exception as error:  # whatever goes wrong is a finding
        return f'{type(error).__name__}: {error}'
    return None


def _run(case: Case, interpreted: bool) -> None:
    op, reference, inputs = call_of(case)
    given = [x for x in inputs.values() if x is not None]
    before = [contents(x) for x in given]
    with torch.no_grad():
        results = op(**inputs)
    _untouched(given, before)
    results = results if isinstance(results, tuple) else (results,)
    dys = [
        placed(case, f'dy{i}', torch.randn(y.shape).to(y.dtype))
        for i, y in enumerate(results)
    ]
    given, before = given + dys, before + [contents(dy) for dy in dys]

    threads = torch.get_num_threads()
    slack = SLACK if interpreted else 1.0
    actual = check(op, reference, inputs, dys, samples=8, slack=slack)
    for name, y in zip(actual.results, results, strict=True):
        _same_bits(f'{name} without gradients', y, actual.results[name])
    if interpreted:
        _untouched(given, before)
        return
    torch.set_num_threads(case['threads'])
    try:
        again = evaluate(op, inputs, dys)
        _equal(f'again, with {case["threads"]} threads', again, actual)
    finally:
        torch.set_num_threads(threads)
    wanted = [name for name in case['wanted'] if inputs[name] is not None]
    some = evaluate(op, inputs, dys, wanted=wanted)
    _equal(f'with gradients of {wanted} only', some, actual)
    _untouched(given, before)


def _untouched(given: list[Tensor], before: list[Tensor]) -> None:
    for x, old in zip(given, before, strict=True):
        _same_bits('an input or what lies around it', contents(x), old)


def _equal(when: str, again: Evaluation, actual: Evaluation) -> None:
    for kind in (0, 1):
        for name, x in again[kind].items():
            _same_bits(f'{name} {when}', x, actual[kind][name])


def _same_bits(what: str, x: Tensor, expected: Tensor) -> None:
    if not torch.equal(x, expected):
        raise AssertionError(f'{what}: other bits')


def smallest(case: Case, interpreted: bool = False) -> tuple[Case, str]:
    """Return a case that fails as `case` does and cannot be made simpler, and how."""
    found = problem(case, interpreted)
    kind = found.split(':')[0]
    again = True
    while again:
        again = False
        for simpler in _simpler(case):
            result = problem(simpler, interpreted)
            if result is not None and result.split(':')[0] == kind:
                case, found, again = simpler, result, True
                break
    return case, found


def _simpler(case: Case) -> Iterator[Case]:
    """Yield cases with one thing less than `case`."""
    for name in case['layouts']:
        layouts = {k: v for k, v in case['layouts'].items() if k != name}
        yield case | dict(layouts=layouts)
    for key, value in case.items():
        if key in ('op', 'seed', 'layouts'):
            continue
        for simpler in _simpler_value(key, value):
            yield case | {key: simpler}


def _simpler_value(key: str, value: object) -> Iterator[object]:
    if isinstance(value, bool):
        yield from [False] * value
    elif isinstance(value, int):
        yield from sorted({x for x in (1, 2, value // 2, value - 1) if 0 < x < value})
    elif key == 'values':
        yield from ['normal'] * (value != 'normal')
    elif key in ('dtypes', 'tensors'):
        for i, dtype in enumerate(value):
            if dtype != 'float32':
                yield [*value[:i], 'float32', *value[i + 1 :]]
    if isinstance(value, list) and key != 'dtypes':
        least = 1 if key in ('routes', 'results', 'tensors') else 0
        if len(value) > least:
            yield from (value[:i] + value[i + 1 :] for i in range(len(value)))
