"""The steps of the test pipeline of a config, before they are built."""

import re
from collections.abc import Sequence

from mmengine.config import Config

ANNOTATIONS = r'Load\w*Annotation'
"""In the names of all steps that load annotations, stock or own ones."""
VIEWS = 'TestTimeAug'
"""In the name of the step that makes several views of an image."""


def test_dataset(config: Config):
    """Return the innermost test dataset of a config.

    Raises:
        ValueError: If there is none with a pipeline.
    """
    dataset = (config.get('test_dataloader') or {}).get('dataset') or {}
    while 'pipeline' not in dataset:
        inner = dataset.get('dataset') or (dataset.get('datasets') or [None])[0]
        if inner is None:
            raise ValueError(
                'the config has no test_dataloader.dataset with a pipeline, which is '
                'needed to read images'
            )
        dataset = inner
    return dataset


def without_annotations(steps: Sequence[dict]) -> list[dict]:
    """Return steps, also those within test-time augmentation, that need no truth."""
    kept = []
    for step in steps:
        if VIEWS in str(step['type']):
            choices = [without_annotations(choice) for choice in step['transforms']]
            step = dict(step, transforms=[choice for choice in choices if choice])
        if not re.search(ANNOTATIONS, str(step['type'])):
            kept.append(step)
    return kept


def first_view(steps: Sequence[dict]) -> list[dict]:
    """Return steps with the first view, without flips, of test-time augmentation."""
    kept = []
    for step in steps:
        if VIEWS not in str(step['type']):
            kept.append(step)
            continue
        first = [choice[0] for choice in step['transforms']]
        kept += [chosen for chosen in first if 'Flip' not in str(chosen['type'])]
    return kept


def has_views(config: Config) -> bool:
    """Return whether the test pipeline of a config makes several views of an image."""
    return any(VIEWS in str(step['type']) for step in test_dataset(config).pipeline)
