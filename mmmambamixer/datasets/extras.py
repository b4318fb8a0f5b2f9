"""Packages that only some users need."""


def load_pandas():
    """Return the module pandas.

    Raises:
        ModuleNotFoundError: If it is not installed; the message names the extra.
    """
    try:
        import pandas
    except ModuleNotFoundError as error:
        if error.name != 'pandas':
            raise
        raise ModuleNotFoundError(
            'tables of time series are read with pandas: install '
            '`mmmambamixer[forecast]`',
            name='pandas',
        ) from error
    return pandas
