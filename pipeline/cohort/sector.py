"""The words of another sector than a clinic: those of a data set that has them, to begin with."""

from collections.abc import Sequence
from pathlib import Path

import yaml

from pipeline.cohort.yaml_text import scalar
from pipeline.config.sector import WordsConfig
from pipeline.files import BadInput
from pipeline.validation import checked_model, nearest

HINT = "# words: a clinic's, unless `medsecure init --words credit` begins with those of a bank"


def words_like(name: str, places: Sequence[Path]) -> WordsConfig:
    """The words of a data set.

    Args:
        name: of the data set.
        places: the folders of schemas, in the order in which they are looked into.

    Raises:
        BadInput: there is none of the name, or it has no words of its own.
    """
    found: dict[str, WordsConfig] = {}
    for place in places:
        for path in sorted(place.glob("*.yaml")):
            told = yaml.safe_load(path.read_text(encoding="utf-8"))
            words = told.get("words") if isinstance(told, dict) else None
            if words and path.stem not in found:
                found[path.stem] = checked_model(WordsConfig, words, str(path), "words")
    if name not in found:
        raise BadInput(f"--words: {name!r} has no words of its own; {nearest(name, found)}")
    return found[name]


def lines_of(words: WordsConfig | None) -> list[str]:
    """What the schema says of them: each on a line, to be edited; None = how to get some."""
    if words is None:
        return [HINT]
    told = [f"  {name}: {scalar(put)}" for name, put in words.model_dump().items()]
    return ["words:  # what pages say in place of a clinic's words; docs/sectors.md", *told]
