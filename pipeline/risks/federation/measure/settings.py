"""The section `federation` of the configuration."""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from pipeline.config import Count, Positive, Section
from pipeline.files import BY_EXPERIMENT

RECIPE = "federated"  # the recipe whose training this is
PRIVATE_RECIPE = "federated_private"  # the one whose training `dp_sgd` is
# What differential privacy costs: recipes that claim it, and the training of each without it.
CENTRAL, FEDERATED = "central", "federated"
PRIVATE = {"dp_train": CENTRAL, "federated_private": FEDERATED, "federated_noisy_server": FEDERATED}


class DpSgdSettings(Section):
    """DP-SGD in each hospital; the keys are those of `federated_private`."""

    rounds: Count
    epsilon: Positive
    delta: Annotated[float, Field(gt=0, lt=1)]
    sample_rate: Annotated[float, Field(gt=0, le=1)]
    expected_batch: Positive
    max_grad_norm: Positive
    local_steps: Count
    learning_rate: Positive
    cut: float


class FederationSettings(Section):
    """A federation with somebody inside who does not keep to it.

    Measured where `enabled`: of `sites` hospitals, cut by the feature `by` (None: those that the
    data set names), which train `rounds` times `local_epochs` passes, and whose server takes the
    rule `aggregate`, which stands `tolerated` hospitals; beside them other numbers of `hospitals`,
    and other rules (`aggregates`). Among the same hospitals train the `private_recipes`, each with
    its options (None: it is not chosen).

    Of the hospitals `malicious` do each of `attacks`, others in each model of the first
    `repetitions` of the plan; the rule is to stand as many. Only of the number of hospitals that is
    told first, and of the first repetition: more that are `malicious`, and hospitals that train
    under differential privacy (`dp_sgd`; None: not asked). A trigger is `trigger_features`
    values of a record, `trigger_size` scales from their centre. The server inverts `updates` of
    batches of each of `batches` records, and as many that hospitals were moved by in each of
    `local_steps` steps, by a search of so many steps (`search`). Members are guessed of `targets`
    federations, each of a random half.
    """

    for_counts: ClassVar[bool] = False
    for_scores: ClassVar[bool] = False
    for_frozen: ClassVar[bool] = False
    tried: ClassVar[str] = "attacks"

    enabled: bool
    sites: Annotated[int, Field(ge=2)] | None
    hospitals: list[Annotated[int, Field(ge=2)]]
    by: str | None
    rounds: Count
    local_epochs: Count
    aggregate: str
    tolerated: Annotated[int, Field(ge=0)]
    aggregates: list[str]
    malicious: Annotated[list[Count], Field(min_length=1)]
    dp_sgd: DpSgdSettings | None
    attacks: Annotated[list[str], Field(min_length=1)]
    # in no digest where it is empty, as it is by default
    private_recipes: Annotated[
        dict[str, dict[str, Any] | None],
        Field(default_factory=dict, exclude_if=lambda own: not own),
    ]
    repetitions: Count
    trigger_features: Count
    trigger_size: Positive
    batches: Annotated[list[Count], Field(min_length=1)]
    local_steps: list[Count]
    updates: Count
    search: Count
    targets: Annotated[int, Field(ge=4)]

    @property
    def every_number(self) -> list[int | None]:
        """Numbers of hospitals, the one that is told first in front."""
        return list(dict.fromkeys([self.sites, *self.hospitals]))

    @property
    def every_rule(self) -> list[str]:
        """Rules of aggregation, the one that is told first in front."""
        return list(dict.fromkeys([self.aggregate, *self.aggregates]))

    def stands(self, malicious: int) -> int:
        """How many hospitals a robust rule is to stand where so many are malicious."""
        return max(self.tolerated, malicious)

    @property
    def unasked(self) -> str:
        """Why nothing is measured; empty = something is."""
        return "" if self.enabled else BY_EXPERIMENT
