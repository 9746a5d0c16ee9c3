"""What a recipe's models give away to whoever may ask them: copies, and what a copy is good for.

Unlike the release model, which is trained on everyone, a victim is trained on a random half of the
cohort, so that there are people it has never seen. A random half of those belong to the attacker,
without any diagnosis; the rest are for testing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor

from pipeline.attacks.evasion.gradient import fgsm, pgd
from pipeline.attacks.evasion.records import LogitsFn
from pipeline.attacks.evasion.sparse import sparse
from pipeline.attacks.oracle import NOISE, Access, Answer, Oracle, ensemble, noisy, plain, shown
from pipeline.attacks.theft import (
    Effort,
    Strategy,
    ask,
    ask_actively,
    proposals,
    steal_linear,
    train_copies,
    uniform,
)
from pipeline.config import BASELINE, Config
from pipeline.data.plan import Plan, rectangle
from pipeline.data.schema import Dataset
from pipeline.data.threat import Threat
from pipeline.defenses import train
from pipeline.models.answers import margin
from pipeline.models.mlp import Architecture
from pipeline.models.networks import Networks
from pipeline.models.population import networks_of
from pipeline.risks.theft.measure.settings import TheftSettings
from pipeline.risks.theft.measure.stolen import Theft
from pipeline.seeds import (
    COMPANION,
    COPIES,
    EVASION_BY_COPIES,
    THEFT_HALVES,
    THEFT_INPUTS,
    THEFT_NOISE,
    THEFT_TESTS,
    of_proposals,
)

PLAIN, ENSEMBLE = "plain", "ensemble"  # how an API answers, beside the kinds of noise
# diagnoses instead of answers; a linear victim, solved
TRUE_LABELS, EQUATIONS = ("true_labels", "equations")
# uniform records on which a copy is compared with its victim, beside the test patients
INPUTS = 1_000
# A copy by its name: how fast it learns. A few were tried on Pima, on these very splits: what
# converges in a few hundred steps.
EFFORTS = {"linear": {"learning_rate": 3e-2}, "mlp": {"learning_rate": 3e-3}}


def steal(name: str, dataset: Dataset, cfg: Config) -> Theft:
    """Trains victims by a recipe, lets them be asked, and tries what copies are good for."""
    scene = Scene.of(name, dataset, cfg)
    parts = [scene.judged(copies) for copies in _all_copies(scene, undefended=name == BASELINE)]
    with torch.no_grad():
        victims = {api: plain(model)(scene.everyone).float() for api, model in scene.models.items()}
        answers = {
            f"{api}/{access}": shown(answer(scene.everyone), access).float()
            for api, answer in scene.apis.items()
            for access in (
                cfg.section(TheftSettings).access
                if api == PLAIN
                else cfg.section(TheftSettings).access[:1]
            )
        }
    direct = {
        api: scene.spread_out(scene.broken_by(scene.evaded(model), model))
        for api, model in scene.models.items()
    }
    rows, *tensors = zip(*parts, strict=True)
    log_odds, broken, agrees = map(torch.cat, tensors)
    return Theft(
        rows=pd.concat(rows, ignore_index=True),
        log_odds=log_odds,
        broken=broken,
        agrees=agrees,
        member=scene.member,
        test=scene.test,
        y=dataset.y,
        victims=victims,
        direct=direct,
        shown=answers,
    )


class Copies(NamedTuple):
    """Copies by A attackers of V victims, for B budgets.

    Attributes:
        attackers: what names each attacker: `strategy, api, access, surrogate`.
        population: A x V x B models; budgets run fastest, then victims.
        budgets: how many records were asked about.
        counts: (A, B), what the oracles counted.
    """

    attackers: list[dict[str, Any]]
    population: Networks
    budgets: list[int]
    counts: Tensor


@dataclass(frozen=True)
class Scene:
    """Victims, what stands in front of them, and who belongs to whom.

    V victims, N patients, T test patients of each.
    """

    dataset: Dataset
    cfg: Config
    models: dict[str, LogitsFn]
    apis: dict[str, Answer]
    member: Tensor
    test: Tensor
    linear: bool

    @classmethod
    def of(cls, name: str, dataset: Dataset, cfg: Config) -> "Scene":
        """Draws the halves and trains the victims.

        The undefended ones with companions, for an API that answers with a mean.
        """
        numbers, schema = cfg.section(TheftSettings), dataset.schema
        plan = Plan.random_halves(
            len(dataset.y), models=numbers.victims, seed=cfg.seed + THEFT_HALVES
        )
        coins = (
            torch.rand(
                plan.train.shape, generator=torch.Generator().manual_seed(cfg.seed + THEFT_TESTS)
            )
            < 0.5
        )
        size = numbers.ensemble if name == BASELINE else 1
        together = networks_of(train(name, dataset, companions(plan, size), cfg))
        single = together.select(torch.arange(plan.size) * size)
        models: dict[str, LogitsFn] = {PLAIN: single.double()}
        apis = {PLAIN: plain(models[PLAIN])}
        if name == BASELINE:
            for kind, noise in NOISE.items():
                apis[kind] = noisy(
                    apis[PLAIN], noise, numbers.spread, schema, cfg.seed + THEFT_NOISE
                )
            models[ENSEMBLE] = ensemble(together.double(), size)
            apis[ENSEMBLE] = plain(models[ENSEMBLE])
        linear = not single.architecture.hidden
        return cls(dataset, cfg, models, apis, plan.train, plan.held_out & coins, linear)

    @property
    def everyone(self) -> Tensor:
        """(V, N, D) records."""
        return self.dataset.x.expand(len(self.test), -1, -1)

    @property
    def publics(self) -> list[Tensor]:
        """The attacker's own records, for each victim."""
        return [self.dataset.x[rows] for rows in ~self.member & ~self.test]

    def judged(self, copies: Copies) -> tuple[pd.DataFrame, Tensor, Tensor, Tensor]:
        """What copies say and do: rows, log-odds, whom they break, and where they agree."""
        attackers, models, budgets, counts = copies
        victims, width = len(self.test), len(budgets)
        rows = [
            {**name, "budget": budget, "queries": int(counts[a, b]), "victim": victim}
            for a, name in enumerate(attackers)
            for victim in range(victims)
            for b, budget in enumerate(budgets)
        ]
        inputs = uniform(
            self.dataset.schema,
            self.dataset.x,
            INPUTS,
            torch.Generator().manual_seed(self.cfg.seed + THEFT_INPUTS),
        )
        owner = torch.arange(models.size) // width % victims
        x_adv = self.evaded(models, owner).view(
            len(attackers), victims, -1, self.dataset.x.shape[1]
        )
        broken, agrees = [], []
        with torch.no_grad():
            log_odds = plain(models)(self.dataset.x.expand(models.size, -1, -1)).float()
            guesses = (plain(models)(inputs.expand(models.size, -1, -1)) > 0).view(
                len(attackers), victims, width, -1
            )
            for a, name in enumerate(attackers):
                model = self.models.get(name["api"], self.models[PLAIN])
                truth = plain(model)(inputs.expand(victims, -1, -1)) > 0
                agrees.append((guesses[a] == truth[:, None]).flatten(0, 1))
                broken.append(self.broken_by(x_adv[a], model).view(victims * width, -1))
        return (
            pd.DataFrame(rows),
            log_odds,
            self.spread_out(torch.cat(broken), owner),
            torch.cat(agrees),
        )

    def evaded(self, models: LogitsFn, owner: Tensor | None = None) -> Tensor:
        """Test patients (M, T, D), as an attack on M models changes them.

        `owner` (M,) says whose patients each model gets.
        """
        threat = Threat.of(self.dataset.schema.features, self.cfg.threat[self.cfg.audit.headline])
        index = rectangle(self.test)[0] if owner is None else rectangle(self.test)[0][owner]
        x, y = self.dataset.x[index].double(), self.dataset.y[index]
        radius = self.cfg.section(TheftSettings).eps if threat.norm != "l0" else 1.0
        eps = radius * threat.attackable(y)[..., None].double()
        if isinstance(models, Networks):
            models = models.double()
        if threat.norm == "l0":
            return threat.project(sparse(models, x, y, threat, eps=eps, points=8), x, eps)
        if (
            isinstance(models, Networks) and not models.architecture.hidden
        ):  # one step is exact on a linear model
            return threat.project(fgsm(models, x, y, threat, eps=eps), x, eps)
        generator = torch.Generator().manual_seed(self.cfg.seed + EVASION_BY_COPIES)
        return threat.project(
            pgd(models, x, y, threat, eps=eps, steps=10, step_size=0.25, generator=generator),
            x,
            eps,
        )

    @torch.no_grad()
    def broken_by(self, x_adv: Tensor, model: LogitsFn) -> Tensor:
        """(V, B x T): whether victims err on test patients (V, B x T, D), B versions of each."""
        y = self.dataset.y[rectangle(self.test)[0]]
        return margin(model(x_adv), y.repeat(1, x_adv.shape[1] // y.shape[1])) <= 0

    def spread_out(self, values: Tensor, owner: Tensor | None = None) -> Tensor:
        """(M, T) of test patients as (M, N) of all patients; the others are False."""
        index, valid = rectangle(self.test)
        if owner is not None:
            index, valid = index[owner], valid[owner]
        dense = torch.zeros(len(values), self.test.shape[1], dtype=torch.bool)
        dense[torch.arange(len(values))[:, None].expand(index.shape)[valid], index[valid]] = values[
            valid
        ]
        return dense


def companions(plan: Plan, size: int) -> Plan:
    """Each model of the plan `size` times, on the same records, the first on its own seed.

    Those of one model stand together.
    """
    every = [
        tensor.repeat_interleave(size, 0) for tensor in (plan.train, plan.held_out, plan.repetition)
    ]
    seeds = (plan.seeds[:, None] + COMPANION * torch.arange(size)).flatten()
    return Plan(
        every[0],
        every[1],
        every[2],
        seeds,
        tuple(f"{label}-{one}" for label in plan.labels for one in range(size)),
    )


def _all_copies(scene: Scene, undefended: bool) -> Iterator[Copies]:
    """Every strategy on the undefended models, the headline on others.

    Then what needs no answers.
    """
    numbers = scene.cfg.section(TheftSettings)
    for strategy in numbers.strategies if undefended else [numbers.headline]:
        others = [api for api in scene.apis if api != PLAIN] if strategy == numbers.headline else []
        attackers = [(PLAIN, access) for access in numbers.access] + [
            (api, numbers.access[0]) for api in others
        ]
        for surrogate in EFFORTS:
            yield _copies(scene, strategy, surrogate, attackers)
    for surrogate in EFFORTS:
        yield _from_diagnoses(scene, surrogate)
    if scene.linear:
        oracle = Oracle(scene.apis[PLAIN], "probabilities", 2 * scene.dataset.x.shape[1] + 1)
        copies = steal_linear(oracle, scene.dataset.schema, len(scene.test))
        named = {
            "strategy": EQUATIONS,
            "api": PLAIN,
            "access": "probabilities",
            "surrogate": "linear",
        }
        yield Copies([named], copies, [oracle.asked], torch.tensor([[oracle.asked]]))


def _copies(
    scene: Scene, strategy: Strategy, surrogate: str, attackers: list[tuple[str, Access]]
) -> Copies:
    numbers, schema, publics = scene.cfg.section(TheftSettings), scene.dataset.schema, scene.publics
    budgets, shape = list(numbers.budgets), (len(attackers), -1, -1, -1)
    oracles = [Oracle(scene.apis[api], access, budgets[-1]) for api, access in attackers]
    # the same luck for everybody: attackers differ by what they are told
    seeds = torch.full((len(attackers),), scene.cfg.seed + COPIES)

    def learn(x: Tensor, answers: Tensor, *sizes: int) -> Networks:
        return train_copies(x, answers, sizes, seeds, schema, _effort(scene, surrogate))

    def drawn(number: int, count: int) -> Tensor:
        return proposals(
            strategy, schema, publics, count, of_proposals(scene.cfg.seed, number)
        ).expand(shape)

    if strategy == "active":
        copies, counts = ask_actively(oracles, drawn, budgets, learn)
    else:
        x = drawn(0, budgets[-1])
        answers, counts = ask(oracles, x, budgets)
        copies = learn(x, answers, *budgets)
    names = [
        {"strategy": strategy, "api": api, "access": access, "surrogate": surrogate}
        for api, access in attackers
    ]
    return Copies(names, copies, budgets, counts)


def _from_diagnoses(scene: Scene, surrogate: str) -> Copies:
    """What the attacker's own patients would teach, were their diagnoses known.

    What a copy must beat.
    """
    theirs = ~scene.member & ~scene.test
    count = int(theirs.sum(1).min())
    index = torch.stack([rows.nonzero()[:, 0][:count] for rows in theirs])
    budgets = sorted({min(budget, count) for budget in scene.cfg.section(TheftSettings).budgets})
    x, y = scene.dataset.x[index][None], scene.dataset.y[index][None].double()
    copies = train_copies(
        x,
        y,
        budgets,
        torch.tensor([scene.cfg.seed + COPIES]),
        scene.dataset.schema,
        _effort(scene, surrogate),
    )
    named = {"strategy": TRUE_LABELS, "api": "none", "access": "diagnoses", "surrogate": surrogate}
    return Copies([named], copies, budgets, torch.zeros(1, len(budgets), dtype=torch.long))


def _effort(scene: Scene, surrogate: str) -> Effort:
    numbers, features = scene.cfg.section(TheftSettings), scene.dataset.x.shape[1]
    hidden = tuple(numbers.hidden) if surrogate == "mlp" else ()
    return Effort(
        Architecture(surrogate, features, len(scene.dataset.schema.classes), hidden),
        steps=numbers.steps,
        batch_size=64,
        weight_decay=1e-3,
        **EFFORTS[surrogate],
    )
