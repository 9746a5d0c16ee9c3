"""A cohort of another sector than a clinic: the package that it ships in, and its own words."""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import Field, model_validator

from pipeline.config.base import Section

# Of the words below those that stand in no other sector's texts; `measurement` may.
MEDICAL = frozenset(
    {
        *("patient", "patients", "ill", "healthy", "disease", "diagnosis", "diagnoses"),
        *("clinic", "clinical", "clinician", "clinicians", "hospital", "hospitals"),
    }
)
Word = Annotated[str, Field(min_length=1)]


class PackagedConfig(Section):
    """A file in a Python package, which is read and never imported.

    `path` starts where packages are installed. `sha256` is that of the file: another one is
    refused, since `version` alone does not say what was read.
    """

    package: Word
    version: Word
    path: Word
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]

    @property
    def where(self) -> str:
        """What messages call it."""
        return f"{self.package} {self.version}: {self.path.rsplit('/', 1)[-1]}"


class WordsConfig(Section):
    """What is read in place of a clinic's words; all of them, or texts would mix two sectors.

    `ill` and `healthy` are adjectives of class 1 and class 0, `disease` is what class 1 is, and
    `diagnosis` which of the two is true. None may be a clinic's word itself.
    """

    patient: Word
    patients: Word
    ill: Word
    healthy: Word
    disease: Word
    diagnosis: Word
    diagnoses: Word
    missed_diagnosis: Word
    missed_diagnoses: Word
    clinic: Word
    clinical: Word
    clinician: Word
    clinicians: Word
    hospital: Word
    hospitals: Word
    adults: Word
    measurement: Word
    measurements: Word

    @model_validator(mode="after")
    def _of_no_clinic(self) -> "WordsConfig":
        for name, put in self.model_dump().items():
            own = MEDICAL.intersection(re.findall(r"\w+", put.lower()))
            if own and put != name:
                raise ValueError(f"{name}: {put!r}: {sorted(own)[0]!r} is a clinic's word itself")
        return self

    @property
    def spoken(self) -> dict[str, str]:
        """A clinic's word or phrase -> that of the sector, where they differ."""
        said = {name.replace("_", " "): put for name, put in self.model_dump().items()}
        return {
            **said,
            "missed disease": self.missed_diagnosis,
            "diagnoses of disease": f"calls of {self.disease}",
        }

    def spoken_beside(self, names: Iterable[str]) -> dict[str, str]:
        """`spoken`, and those of the data set's own names that it would change: these stay."""
        return with_names(self.spoken, names)


def with_names(words: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """The words of a sector, and of these names those that hold one of a clinic's: they stay.

    A name that is such a word itself stays, too, and with it that word in every text.
    """
    changed = {part for given in words for part in given.split()}
    own = [name for name in names if changed & set(re.findall(r"\w+", name.lower()))]
    return {**words, **{name: name for name in own}}
