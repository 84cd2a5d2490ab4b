"""The one exception that means "the input or the run is at fault", never the program."""

__all__ = ["InputError"]


class InputError(ValueError):
    """A file, a setting or a run folder is not usable as it is.

    The message is one or more whole sentences for the person who gave the input: what was wanted, what came,
    and what to do. The command line prints it without a traceback and ends with exit code 1.
    """
