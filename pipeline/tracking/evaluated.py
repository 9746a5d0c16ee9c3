"""What an evaluation leaves to be logged."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from pipeline.config import canonical
from pipeline.models.population import Population
from pipeline.risks import RISKS
from pipeline.risks.conclusions import Conclusions
from pipeline.risks.results import Results
from pipeline.risks.risk import Context, Judgement


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation leaves to be logged.

    Attributes:
        results: the tables of every risk.
        context: whose they are.
        folder: where the report was written.
        examined: for each defense the folder of what was measured of it, in the order of the page.
        populations: of each defense the trained models, the release model among them.
        overrides: `key=value` of whatever sets this evaluation apart from others of its defense;
            they stand in the runs' names.
        parent: the run below which they are logged, of `pipeline.tracking.groups`; empty = none.
        job: the digest by which workers claim it, once it is logged; empty = nobody claims it.
    """

    results: Results
    context: Context
    folder: Path
    examined: Mapping[str, Path]
    populations: Mapping[str, Population]
    overrides: Sequence[str] = field(default=())
    parent: str = ""
    job: str = ""

    @cached_property
    def conclusions(self) -> Conclusions:
        """What is concluded of all defenses together."""
        return Conclusions.of(self.results, self.context.cfg)

    def judged(self, name: str) -> Judgement:
        """What speaks against the figures of a defense."""
        return self.conclusions.judged.get(name, Judgement())


def run_key(evaluated: Evaluated, name: str) -> str:
    """The digest of the configuration, the weights, and what is reported of a defense.

    Tables in folders (for plots, or with a row per patient) are other views of the same results.
    """
    digest = hashlib.sha256(canonical(evaluated.context.cfg) + name.encode())
    digest.update(evaluated.populations[name].digest.encode())
    for risk in RISKS:
        for table_name, table in evaluated.results[risk.name].items():
            if "/" not in table_name:
                rows = table[table["defense"] == name] if "defense" in table else table
                digest.update(rows.to_csv(index=False).encode())
    # a verdict depends on the rows of others, too
    said = evaluated.conclusions.of_defense(name)
    digest.update(repr(sorted(said.items())).encode() + evaluated.parent.encode())
    return digest.hexdigest()
