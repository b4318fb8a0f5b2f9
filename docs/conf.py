"""The documentation site: `make docs` builds it into docs/_build.

The source is the whole checkout, so that the READMEs beside the code are pages too.
"""

from mmmambamixer.version import __version__

project = 'mmmambamixer'
author = 'the authors of mmmambamixer'
release = __version__
extensions = ['myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon']
root_doc = 'docs/index'
include_patterns = [
    '*.md',
    'docs/**',
    'benchmarks/README.md',
    'configs/*/README.md',
    'ops/*/README.md',
]
exclude_patterns = ['docs/_build']
html_theme = 'furo'
html_title = f'{project} {release}'

# Our pages link to files and headings; docstrings write code in single backticks.
myst_heading_anchors = 3
default_role = 'code'
autodoc_typehints = 'description'
autodoc_member_order = 'bysource'
autodoc_default_options = {'members': True}
nitpicky = False
