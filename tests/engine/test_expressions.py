"""Entries of a config that follow from others."""

import pytest
from mmengine.config import Config

from mmmambamixer.engine.expressions import resolve


def resolved(**entries) -> dict:
    config = Config(entries)
    resolve(config)
    return config.to_dict()


@pytest.mark.parametrize(
    ('text', 'value'),
    [
        ('${size}', 4),
        ('${ size }', 4),
        ('${size >= 4 and not small}', True),
        ('${1e-3 if 2 < size < 4 else -0.5}', -0.5),
        ('${name}', 'a'),
        ("${'b' if name == 'a' else name}", 'b'),
        ('${part}', dict(type='A', size=4)),
        ('${parts}', [1, 4]),
        ('${last}', 4),  # through another expression
    ],
)
def test_an_expression_reads_the_names_at_the_top(text, value):
    found = resolved(
        size=4,
        small=False,
        name='a',
        part=dict(type='A', size='${size}'),
        parts=[1, '${size}'],
        last='${size}',
        model=dict(layers=[dict(x=text)], y=(text,)),
    )
    assert found['model'] == dict(layers=[dict(x=value)], y=(value,))


def test_none_leaves_an_entry_out_and_a_plain_none_stays():
    model = dict(a='${None}', b=None, c=['${x}', None, 1], d=dict(e='${x}'))
    assert resolved(x=None, model=model)['model'] == dict(b=None, c=[None, 1], d={})


def test_two_that_read_one_name_do_not_share_it():
    config = Config(dict(a=[1], model=dict(x='${a}', y='${a}')))
    resolve(config)
    config.model.x.append(2)
    assert config.model.y == [1]


def test_what_was_read_is_gone_but_for_what_the_runner_reads():
    found = resolved(size=4, other=5, work_dir='w', model=dict(a='${size}'))
    assert found == dict(other=5, work_dir='w', model=dict(a=4))
    found = resolved(work_dir='w', model=dict(a='${work_dir}'))
    assert found == dict(work_dir='w', model=dict(a='w'))


def test_nothing_else_is_touched():
    model = dict(a='$HOME', b='{x}', c='${x} and more', d=(1, [dict(e='$x')]))
    config = Config(dict(model=model, note='${missing}'))
    resolve(config)
    resolve(config)  # a second time neither
    assert config.to_dict() == dict(model=model, note='${missing}')


@pytest.mark.parametrize(
    ('text', 'told'),
    [
        ('${siz}', r"model\.a\.1 is '\$\{siz\}': .* no 'siz'.* did you mean 'size'"),
        ('${f}', "'f' depends on itself"),
        ('${size(1)}', 'only names, constants'),
        ('${size.real}', 'only names, constants'),
        ('${[x for x in y]}', 'only names, constants'),
        ("${__import__('os')}", 'only names, constants'),
        ('${size if}', r"model\.a\.1 is '\$\{size if\}': "),
        ('${}', r"model\.a\.1 is '\$\{\}': "),
        ("${size < 'b'}", 'not supported between'),
        ('${abs}', "no 'abs'"),
    ],
)
def test_what_cannot_be_computed_names_the_entry(text, told):
    with pytest.raises(ValueError, match=told) as error:
        resolved(size=4, f='${g}', g='${f}', model=dict(a=[0, text]))
    assert 'model.a.1' in str(error.value) and '\n' not in str(error.value)
