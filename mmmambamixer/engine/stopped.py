"""The end of a run that is no bug of the program."""


class TrainingStopped(RuntimeError):
    """A run cannot go on; the message says why, and what can be resumed from."""
