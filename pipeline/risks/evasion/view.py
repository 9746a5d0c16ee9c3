"""What chapters and pictures of evasion look at together: who is drawn how, at which radius."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from pipeline.config import BASELINE, Config
from pipeline.presentation.pictures import Style, display_name, styles_of
from pipeline.risks.evasion.movable import sample_in_words
from pipeline.risks.evasion.proofs import unprovable
from pipeline.risks.evasion.wording import among, budget, leading
from pipeline.risks.risk import Tables, nearest_of
from pipeline.risks.sentences import DEPLOYED


@dataclass(frozen=True)
class View:
    """The tables of evasion, read once: names with their flags, the headline threat and radius.

    Attributes:
        tables: its tables.
        cfg: what was configured.
    """

    tables: Tables
    cfg: Config

    @cached_property
    def comparison(self) -> pd.DataFrame:
        """One row per defense, threat and radius."""
        return self.tables["comparison"]

    @cached_property
    def flags(self) -> Mapping[str, str]:
        """Defense -> its flags, joined by a blank; in the order of the tables."""
        first = self.comparison.drop_duplicates("defense")
        return dict(zip(first["defense"], first["flags"], strict=True))

    @cached_property
    def shown(self) -> Mapping[str, str]:
        """Defense -> its name as people see it."""
        return {name: display_name(name, flags) for name, flags in self.flags.items()}

    @cached_property
    def styles(self) -> Mapping[str, Style]:
        """Defense -> how it is drawn in every picture."""
        return styles_of(list(self.flags))

    @cached_property
    def first(self) -> str:
        """The undefended models; where they are not among the defenses, the first of these."""
        return BASELINE if BASELINE in self.flags else next(iter(self.flags))

    @cached_property
    def who(self) -> str:
        """The first ones in a sentence, with their flags."""
        name, frozen = self.shown[self.first], self.cfg.plan.frozen
        called = DEPLOYED if frozen else "the undefended models"
        return f"{called}{name.removeprefix(BASELINE)}" if self.undefended else name

    def does(self, verb: str, singular: str) -> str:
        """What `who` does: a recipe, and a model that is deployed, are one."""
        several = self.undefended and not self.cfg.plan.frozen
        return verb if several else singular

    @property
    def undefended(self) -> bool:
        """Whether the undefended models are among the defenses."""
        return self.first == BASELINE

    @property
    def threat(self) -> str:
        """The headline threat."""
        return self.cfg.audit.headline

    @cached_property
    def headline(self) -> pd.DataFrame:
        """The lines of the headline threat."""
        return self.comparison[self.comparison["threat"] == self.threat]

    @cached_property
    def eps(self) -> float:
        """The radius examined that is nearest to the headline radius."""
        return nearest_of(self.headline["eps"], self.cfg.audit.headline_eps)

    @cached_property
    def clean(self) -> pd.DataFrame:
        """A line for each defense, without attack."""
        return self.headline[self.headline["eps"] == 0]

    @cached_property
    def attacked(self) -> pd.DataFrame:
        """A line for each defense, under attack at the headline radius."""
        return self.headline[self.headline["eps"] == self.eps]

    @cached_property
    def empty(self) -> bool:
        """Whether nobody's record can be changed within the headline radius."""
        return "movable" in self.attacked and bool((self.attacked["movable"] == 0).all())

    @cached_property
    def leading(self) -> str:
        """The measurement in whose unit radii are told."""
        return leading(self.cfg.data.features, self.tables.get("alone"))

    @cached_property
    def sample(self) -> str:
        """Whom all figures are of, where not everybody was attacked; else nothing."""
        return sample_in_words(self.headline)

    @property
    def hidden(self) -> bool:
        """Whether counts of a few patients are not told."""
        return self.cfg.report.patients == "hidden"

    @cached_property
    def beyond_proof(self) -> set[str]:
        """The defenses of which nothing can be proved."""
        return unprovable(self.tables)

    def budget(self, eps: float, threat: str = "") -> str:
        """A radius with its unit; of the headline threat, if not said otherwise."""
        return budget(self.cfg, threat or self.threat, eps, self.leading)

    def among(self, y: int | None = None) -> str:
        """Whom a share is of."""
        return among(self.tables, self.cfg, y)

    def own(self, table: str, defense: str = "") -> pd.DataFrame:
        """The rows of a defense in a table, those of the first one if not said otherwise."""
        rows = self.tables.get(table, pd.DataFrame({"defense": []}))
        return rows[rows["defense"] == (defense or self.first)]

    def line(self, lines: pd.DataFrame, defense: str = "") -> pd.Series:
        """The line of a defense among lines with one for each."""
        own: pd.Series = lines[lines["defense"] == (defense or self.first)].iloc[0]
        return own
