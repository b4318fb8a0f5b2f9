"""Dates as text, written as those of a column are.

A form is text with the directives of strftime and four of our own: `%-d` and others
with a hyphen are not padded, `%q` is the quarter, `%L` are milliseconds, and `%P` is a
lower-case `%p`.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import permutations, product

from ..datasets.extras import load_pandas

PIECES = re.compile(r'%-?[A-Za-z]|[^%]+|%')
TIME = re.compile(
    r'(?P<hour>\d{1,2}):(?P<minute>\d\d)(?P<second>:\d\d)?(?P<part>\.\d+)?'
    r'(?P<half>\s?[AaPp][Mm])?'
)
COMPACT = (
    (re.compile(r'T\d{6}$'), 'T%H%M%S'),
    (re.compile(r'T\d\d$'), 'T%H'),
    (re.compile(r'\b\d{8}'), '%Y%m%d'),
    (re.compile(r'(?<!\d)\d{4}(?!\d)'), '%Y'),
    (re.compile(r'Q[1-4]'), 'Q%q'),
)
NUMBER = re.compile(r'(?<![\d%])\d{1,2}(?!\d)')
WORD = re.compile(r'(?<!%)[A-Za-z]{3,}')
CASES: tuple[Callable, ...] = (str, str.upper, str.lower)
PARTS = {3: '.%L', 6: '.%f'}


def text_form(texts, dates) -> tuple[str, Callable] | None:
    """Return the form of texts and the case of their words, or None.

    It is right if it gives all of them as they are.

    Args:
        texts: A Series of texts.
        dates: The dates that they are, a Series.
    """
    first, wanted = texts.iloc[:1], texts.to_numpy(object)
    for form, case in product(forms(first.iloc[0]), CASES):
        if (
            write(dates.iloc[:1], form, case)[0] == first.iloc[0]
            and (write(dates, form, case) == wanted).all()
        ):
            return form, case
    return None


def forms(text: str) -> Iterator[str]:
    """Yield the forms that a text may have, the most usual first."""
    text, time = text.replace('%', ''), ''
    if match := TIME.search(text):
        part = (match['part'] or '')[1:]
        half = (match['half'] or '').replace('M', 'm')
        time = ('%I' if half else '%H') + ':%M' + ':%S' * bool(match['second'])
        time += PARTS.get(len(part), '')
        if half:
            lower = match['half'].strip().islower()
            time += ' ' * half.startswith(' ') + ('%P' if lower else '%p')
        text = f'{text[: match.start()]}\0{text[match.end() :]}'
    for pattern, form in COMPACT:
        text = pattern.sub(form, text)
    words, numbers = WORD.findall(text), NUMBER.findall(text)
    kinds = 'mdy' if '%Y' not in text else 'md'
    names = product(('%b', '%B', '%a', '%A'), repeat=len(words))
    for named, order in product(names, permutations(kinds, min(len(numbers), 3))):
        found = replaced(WORD, text, named)
        found = replaced(NUMBER, found, [f'%{kind}' for kind in order])
        for day, hour in product((False, True), repeat=2):
            date = re.sub('%([md])', r'%-\1', found) if day else found
            clock = re.sub('%([HI])', r'%-\1', time) if hour else time
            yield date.replace('\0', clock)


def replaced(pattern: re.Pattern, text: str, marks: Iterable[str]) -> str:
    """Return the text with one mark after the other where the pattern matches."""
    left = iter(marks)
    return pattern.sub(lambda _: next(left, ''), text)


def write(dates, form: str, case: Callable = str):
    """Return dates as texts, `(n,)` objects."""
    found = load_pandas().Series('', index=dates.index, dtype=object)
    for piece in PIECES.findall(form):
        found = found + written_piece(dates, piece, case)
    return found.to_numpy(object)


def written_piece(dates, piece: str, case: Callable):
    """Return what one directive, or a text between, makes of each date."""
    if piece[0] != '%':
        return piece
    if piece == '%q':
        return dates.dt.quarter.astype(str)
    if piece == '%L':
        return dates.dt.strftime('%f').str[:3]
    if piece == '%P':
        return dates.dt.strftime('%p').str.lower()
    found = dates.dt.strftime(piece.replace('-', ''))
    if piece[1] == '-':
        return found.str.replace('^0', '', regex=True)
    return found.map(case) if piece in ('%b', '%B', '%a', '%A') else found
