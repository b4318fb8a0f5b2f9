"""The test data of a training, which it never reads."""

from mmengine.runner import Runner

from ..preflight.data.files import check_data
from ..preflight.data.samples import PACKERS, same_random_numbers
from .data import open_data

LOOP = ('dataloader', 'cfg', 'evaluator')


def warn_of_test(runner: Runner) -> None:
    """Warn if a test of what a runner trains would be refused because of its data.

    The checks are those of `tools/test.py`, with the classes of the training data.
    Nothing is read where validation and testing are configured alike, as in most
    configs; forecasters are left alone, whose parts are of one table.

    Args:
        runner: With its training data opened; its test loop is left as it is.
    """
    config = runner.cfg
    parts = [
        [config.get(f'{part}_{key}') for key in LOOP if key != 'cfg']
        for part in ('val', 'test')
    ]
    given = all(config.get(f'test_{key}') is not None for key in LOOP)
    if not given or parts[0] == parts[1] or config.get('default_scope') not in PACKERS:
        return
    before = runner._test_loop
    trained = getattr(runner.train_loop.dataloader.dataset, 'metainfo', {})
    try:
        check_data(config, 'test')
        with same_random_numbers():
            open_data(
                runner,
                'test',
                meta=dict(dataset_meta=trained),
                path='train_dataloader',
            )
    except (ValueError, OSError) as error:
        runner.logger.warning(
            f'this training goes on, but tools/test.py would stop with: {error}'
        )
    finally:
        runner._test_loop = before
