"""Compiles what the ops launch on a GPU, without one: every path through the kernels.

Triton compiles a kernel anew for each combination of dtypes, aligned pointers, integers
that are 1 or multiples of 16, and constants: tens of thousands for what the ops reach.
Dtypes and constants choose the path, and each combination of them is compiled (slow;
the suite has each pair); all that Triton knows of integers and alignments is met on
some path. Triton's interpreter accepts code that the compiler refuses, and computes
without harm where a GPU leaves the range of 32 bits.
"""

import importlib
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

pytest.importorskip('triton')

import triton
import triton.language as tl
from gpu_calls import AXES, drawn_calls, launches_of
from triton.runtime.jit import JITFunction

from mmmambamixer import ops
from mmmambamixer.ops.gpu_launches import Launch, noted_launches

CAPABILITIES = 80, 90, 100
UNROLLED = 'N', 'TURNS', 'T', 'G'  # numbers of states, taps and scans
pytestmark = pytest.mark.skipif(
    triton.knobs.runtime.interpret, reason='nothing is compiled in the interpreter'
)


def failures(launches: list[Launch], wide: set[str] = frozenset()) -> list[str]:
    """Compile each launch for one of the GPUs in turn; return what goes wrong.

    `wide` says where integers are that 32 bits do not always hold.
    """
    found = []
    for launch, capability in zip(launches, itertools.cycle(CAPABILITIES)):
        try:
            code = launch.compile(capability).asm
            assert code['cubin']
            reason = computed_in_32_bits(launch, code['ttir'], wide)
        except Exception as error:  # of the front end, of a pass, of ptxas
            reason = f'{type(error).__name__}: '
            reason += ' | '.join(str(error).split('\n')[:12])
        if reason:
            found.append(f'sm_{capability} {launch.specialisation}: {reason}')
    return found


def computed_in_32_bits(launch: Launch, code: str, wide: set[str]) -> str:
    """Return the first line of code (TTIR) that narrows one of `wide`, or nothing.

    Triton passes an integer that fits 32 bits as one, and what is computed with it may
    not fit. It must be widened first, or be a factor of a product of 64 bits.
    """
    head, body = re.search(r'tt\.func public @(.*)\n((?:.*\n)*)', code).groups()
    names = re.findall(r'(%[\w.]+): (!tt\.ptr<\w+>|i\d+)', head)
    places = [p for p, kind in passed(launch) if kind is not None and kind != 1]
    for (name, kind), place in zip(names, places, strict=True):
        if alike(place) in wide and kind == 'i32':
            line = narrow_use(name, body.split('\n'))
            if line:
                return line
    return ''


def narrow_use(name: str, lines: list[str]) -> str:
    """Return the first line that computes with an integer as it came, or nothing."""
    widened = 'arith.extsi', 'tt.elementwise_inline_asm "mul.wide.s32'
    for i, line in enumerate(lines):
        result, _, operation = line.strip().partition(' = ')
        found = ''
        if not re.search(rf'{re.escape(name)}(?![\w.])', operation):
            continue
        if operation.startswith('tt.splat'):
            found = narrow_use(result, _scope(lines[i:]))
        elif not operation.startswith(widened):
            found = line.strip()
        if found:
            return found
    return ''


def _scope(lines: list[str]) -> list[str]:
    """Return what follows the first line where its result has its name."""
    depth = len(lines[0]) - len(lines[0].lstrip())
    inside = itertools.takewhile(lambda x: not x[:depth].strip(), lines)
    return list(inside)[1:]


def passed(launch: Launch) -> Iterator[tuple[str, object]]:
    """Yield what Triton knows of each argument, with its place."""

    def walk(kind, place):
        if isinstance(kind, tuple):
            for i, part in enumerate(kind):
                yield from walk(part, f'{place}.{i}')
        else:
            yield place, kind

    return walk(launch.specialisation[1], '')


def alike(place: str) -> str:
    """Return the place within its tuple, if any: what tuples hold is alike."""
    return place if place.count('.') < 2 else place.rpartition('.')[2]


def beyond_32_bits(launches: list[Launch]) -> set[str]:
    """Return where integers are that are passed with 64 bits somewhere."""
    return {
        alike(place)
        for launch in launches
        for place, kind in passed(launch)
        if str(kind).startswith('i64')
    }


def facts(launch: Launch) -> set[str]:
    """Return the dtypes, constants and absent arguments of a launch, by place."""
    pointers = {
        f'{place} {kind}'.removesuffix('/16')
        for place, kind in passed(launch)
        if kind is None or str(kind).startswith('*')
    }
    return {*pointers, *launch.specialisation[2:]}


def choices(launch: Launch) -> set[str]:
    """Return the `facts` that choose a path through the code.

    It knows 16-bit dtypes by their width. Loops over `UNROLLED` are alike for any
    number.
    """
    known = {x.replace('bfloat16', 'float16') for x in facts(launch)}
    return {x for x in known if x.partition('=')[0] not in UNROLLED}


def pairs(launch: Launch) -> set[tuple]:
    """Return the pairs of `choices` that code may depend on together, with its phase.

    One of them is a constant: whatever the dtypes, it computes in that of the state.
    """
    phase = launch.constants.get('PHASE')  # each is like a kernel of its own
    found = itertools.combinations(sorted(choices(launch)), 2)
    return {(a, b, phase) for a, b in found if '=' in a or '=' in b}


def by_path(launches: list[Launch]) -> list[Launch]:
    """Choose a launch for each combination of `choices`, with short code.

    If it can be, one whose states are read by fours, as those of all networks here.
    """

    def last(launch):
        return launch.constants.get('N', 4) % 4 == 0, -cost(launch)

    return [*{frozenset(choices(x)): x for x in sorted(launches, key=last)}.values()]


def details(launch: Launch) -> set[tuple[str, str]]:
    """Return what is known of integers and of the alignment of pointers, by place."""
    return {
        (alike(place), re.sub(r'^\*\w+', '*', str(kind)))
        for place, kind in passed(launch)
    }


def cost(launch: Launch) -> int:
    """Return about how long the code is."""
    return 5 + launch.constants.get('N', 1) * launch.constants.get('G', 1)


def covering(launches: list[Launch]) -> list[Launch]:
    """Choose launches with all `facts`, `pairs` and `details`; long code costs more."""
    launches = sorted(launches, key=cost)
    wanted = [{*facts(x), *pairs(x), *details(x)} for x in launches]
    chosen, left = [], set().union(*wanted)
    while left:
        gains = [len(x & left) / cost(y) for x, y in zip(wanted, launches, strict=True)]
        best = gains.index(max(gains))
        chosen.append(launches[best])
        left -= wanted[best]
    return chosen


def kernels_of_the_ops() -> set[JITFunction]:
    """Return all kernels that the files `gpu*.py` and `gpu/*.py` of the ops define."""
    root, found = Path(ops.__file__).parent, set()
    for path in [*root.glob('*/gpu*.py'), *root.glob('*/gpu/*.py')]:
        name = '.'.join(path.relative_to(root).with_suffix('').parts)
        module = importlib.import_module(f'{ops.__name__}.{name}')
        found |= {x for name, x in vars(module).items() if name.endswith('_kernel')}
    return found


def launched(count: int | None) -> dict[JITFunction, list[Launch]]:
    """Return what `count` calls of each op launch, or all, by kernel."""
    found = {}
    for op in AXES:
        found |= launches_of(op, drawn_calls(op, count))
    return {
        kernel: [x for x in found.values() if x.kernel is kernel]
        for kernel in kernels_of_the_ops()
    }


def test_a_choice_of_what_is_launched_compiles():
    found = []
    for kernel, launches in launched(300).items():
        assert launches, f'no call launches {kernel.__name__} of {kernel.__module__}'
        found += failures(covering(launches), beyond_32_bits(launches))
    assert not found, '\n'.join(found)


@pytest.mark.slow
def test_every_path_compiles():
    found = []
    for launches in launched(None).values():
        chosen = by_path(launches) + covering(launches)
        found += failures(chosen, beyond_32_bits(launches))
    assert not found, f'{len(found)}:\n' + '\n'.join(found)


@triton.jit
def _assigns_a_constant_twice_kernel(x, y, PACKED: tl.constexpr):
    lane = tl.arange(0, 32)
    for first in tl.static_range(0, 64, 32):
        if PACKED:
            kind: tl.constexpr = tl.uint32
            tl.store(y + first + lane, tl.load(x + first + lane).to(kind))
        else:
            tl.store(y + first + lane, tl.load(x + first + lane))


def test_what_only_the_compiler_refuses_is_found():
    """Guards the tests above, by a fault that Triton's interpreter does not see."""
    x = torch.zeros(64)
    with noted_launches() as launches:
        for packed in (False, True):
            _assigns_a_constant_twice_kernel[(1,)](x, x, PACKED=packed)
    assert [str(y) for y in launches[1].specialisation[2:]] == ['PACKED=True']
    (failure,) = failures(launches)
    assert "'PACKED=True'" in failure
    assert 'CompilationError' in failure and 'constexpr' in failure


@triton.jit
def _shifts_kernel(x, step, routes, WIDE: tl.constexpr):
    lane = tl.arange(0, 32)
    if WIDE:
        lane = lane.to(tl.int64)
        routes = tl.full((), 0, tl.int64) + routes
    tl.store(x + lane * step, routes >> 36)


def test_an_integer_that_triton_narrows_is_found():
    x = torch.zeros(64, dtype=torch.int64)
    with noted_launches() as launches:
        for step, routes in ((3, 7), (3, 2**40), (2**33, 7)):
            for widened in (False, True):
                _shifts_kernel[(1,)](x, step, routes, WIDE=widened)
    assert beyond_32_bits(launches) == {'.1', '.2'}
    both, step, routes = failures(launches, {'.1', '.2'})
    assert 'muli' in both and 'muli' in step and 'arith.shrsi' in routes
    assert not failures(launches)


def test_an_integer_is_followed_while_its_name_lasts():
    inner = ['    %o = tt.splat %n : i32', '    %p = arith.addi %o, %o : tensor<i32>']
    widened = ['    %o = arith.extsi %n : i32 to i64', *inner[1:]]
    loop, end = ['  scf.for %i = %a to %b {'], ['  }']
    assert narrow_use('%n', [*loop, *widened, *end, *loop, *inner, *end]) == (
        inner[1].strip()
    )
    assert not narrow_use('%n', [*loop, inner[0], *end, *loop, *widened, *end])


def test_the_choice_has_every_fact_pair_and_detail():
    kinds = [
        torch.zeros(64, dtype=x) for x in (torch.float32, torch.bfloat16, torch.half)
    ]
    calls = [
        *itertools.product(kinds, kinds, (True, False)),
        (kinds[0], kinds[0][1:], True),
    ]
    with noted_launches() as launches:
        for x, y, packed in calls:
            _assigns_a_constant_twice_kernel[(1,)](x, y, PACKED=packed)
    chosen = covering(launches)
    assert 4 <= len(chosen) < 8 < len(launches) == 19

    for kind, count in ((facts, 8), (pairs, 8), (details, 3)):
        found, there = (set().union(*map(kind, x)) for x in (chosen, launches))
        assert found == there and len(found) == count
    unaligned = launches[-1].specialisation
    assert unaligned in {launch.specialisation for launch in chosen}
    assert len(by_path(launches)) == 2 * 2 * 2  # widths of x and y, PACKED or not
