"""Why the log cannot be used: one line, and whoever hears it refuses instead of answering."""

from pipeline.files import BadInput


class Unavailable(BadInput):
    """The log cannot be written or read now: full, read-only, busy, missing, closed."""


class Damaged(Unavailable):
    """What lies there is not what was written: nothing is added before a person has looked."""
