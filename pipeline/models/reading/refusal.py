"""What is said where a model cannot be looked into: no error, only nothing that can be proved."""

from pipeline.files import NotApplicable


class NotReadable(NotApplicable):
    """A model whose structure is not known here: one clause, the name of the class at fault first.

    It can still be asked for its scores.
    """
