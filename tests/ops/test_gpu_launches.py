"""Compiles what the ops launch on a GPU, without one: every specialisation they reach.

Triton compiles a kernel anew for each combination of dtypes, aligned pointers, integers
that are 1 or multiples of 16, and constants. Triton's interpreter accepts code that the
compiler refuses.
"""

import importlib
import itertools
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
pytestmark = pytest.mark.skipif(
    triton.knobs.runtime.interpret, reason='nothing is compiled in the interpreter'
)


def failures(launches: list[Launch]) -> list[str]:
    """Compile each launch for one of the GPUs in turn; return what does not compile."""
    found = []
    for launch, capability in zip(launches, itertools.cycle(CAPABILITIES)):
        try:
            assert launch.compile(capability).asm['cubin']
        except Exception as error:  # of the front end, of a pass, of ptxas
            reason = ' | '.join(str(error).split('\n')[:12])
            found.append(
                f'sm_{capability} {launch.specialisation}: '
                f'{type(error).__name__}: {reason}'
            )
    return found


def facts(launch: Launch) -> set[str]:
    """Return the dtypes, constants and absent arguments of a launch, by place."""

    def walk(kind, place):
        if isinstance(kind, tuple):
            for i, part in enumerate(kind):
                yield from walk(part, f'{place}.{i}')
        elif kind is None or str(kind).startswith('*'):
            yield f'{place} {kind}'.removesuffix('/16')

    _, arguments, *constants = launch.specialisation
    return {*walk(arguments, ''), *constants}


def details(launch: Launch) -> set[str]:
    """Return what is known of each integer and of the alignment of each pointer."""
    return {f'{i} {x}' for i, x in enumerate(str(launch.specialisation).split(', '))}


def covering(launches: list[Launch]) -> list[Launch]:
    """Choose launches so that every pair of `facts`, and all `details`, occur."""
    wanted = [
        {*itertools.combinations(sorted(facts(x)), 2), *details(x)} for x in launches
    ]
    chosen, left = [], set().union(*wanted)
    while left:
        best = max(range(len(launches)), key=lambda i: len(wanted[i] & left))
        chosen.append(launches[best])
        left -= wanted[best]
    return chosen


def kernels_of_the_ops() -> set[JITFunction]:
    """Return all kernels that the files `gpu*.py` of the ops define."""
    root, found = Path(ops.__file__).parent, set()
    for path in root.glob('*/gpu*.py'):
        module = importlib.import_module(
            f'{ops.__name__}.{path.parent.name}.{path.stem}'
        )
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
        found += failures(covering(launches))
    assert not found, '\n'.join(found)


@pytest.mark.slow
def test_all_that_is_launched_compiles():
    launches = [x for of_kernel in launched(None).values() for x in of_kernel]
    found = failures(launches)
    assert not found, f'{len(found)} of {len(launches)}:\n' + '\n'.join(found)


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


def test_the_choice_has_every_pair_of_facts_and_every_detail():
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
    assert 9 <= len(chosen) < 14 < len(launches) == 19

    def pairs(some):
        found = (itertools.combinations(sorted(facts(x)), 2) for x in some)
        return set(itertools.chain.from_iterable(found))

    assert pairs(chosen) == pairs(launches) and len(pairs(chosen)) == 21
    unaligned = launches[-1].specialisation
    assert unaligned in {launch.specialisation for launch in chosen}
