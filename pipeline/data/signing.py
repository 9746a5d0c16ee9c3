"""What a program proposed of a cohort, and nobody has signed."""

from pipeline.config import DataConfig

NOT_REVIEWED = "proposed by the program, not reviewed"  # on every page of an audit that ran so
HOW = (
    "look at each line of the schema, correct it, and sign it with `source: you` (or with who says "
    "so), or set data.accept_guesses=true, which then stands on every page"
)


def unsigned(data: DataConfig) -> list[str]:
    """What keeps an audit from running: one line a feature, and how to sign it.

    What only a person can know of a feature (`JUDGED`) and a program proposed, from the data or by
    a guess, and what it guessed to mean "not measured". An audit whose threat model nobody has
    looked at proves nothing of a clinic.

    Returns:
        no line where everything is signed, or where `accept_guesses` lets guesses through.
    """
    if data.accept_guesses or not data.unreviewed:
        return []
    lines = [f"data.features.{line}: proposed, not reviewed" for line in data.unreviewed]
    return [*lines, HOW]
