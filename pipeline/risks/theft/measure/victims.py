"""Victims of theft: models on random halves, the APIs in front of them, and who belongs to whom.

Unlike the release model, which is trained on everyone, a victim is trained on a random half of the
cohort, so that there are people it has never seen. A random half of those belong to the attacker,
without any diagnosis; the rest are for testing. Under an official split both halves are of its
training records, and its test records are for testing: what a copy is good for is told by them, who
trained a victim by the rest of the training records, from which they may differ as such.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.attacks.evasion.blackbox import square
from pipeline.attacks.evasion.gradient import fgsm, pgd
from pipeline.attacks.evasion.greedy import sparse
from pipeline.attacks.evasion.records import LogitsFn
from pipeline.attacks.oracle import NOISE, Answer, ensemble, noisy, plain
from pipeline.config import BASELINE, Config
from pipeline.data.halves import halves_of, learned_from, reported_on
from pipeline.data.plan import Plan, first_of, rectangle
from pipeline.data.schema import Dataset
from pipeline.data.threat import Threat
from pipeline.defenses.trained import train
from pipeline.models.answers import margin
from pipeline.models.population import ImageNetworks, Networks
from pipeline.risks.theft.measure.settings import TheftSettings
from pipeline.seeds import Stream, generator, of

PLAIN, ENSEMBLE = "plain", "ensemble"  # how an API answers, beside the kinds of noise
SEARCHED = 100  # answers asked for where no gradient leads to a change


@dataclass(frozen=True)
class Victims:
    """Victims, what stands in front of them, and who belongs to whom.

    V victims, N patients, T test patients of each. (V, N) bool, each patient in one at most but for
    the last two: `member`, who trained a victim; `public`, whom its attacker owns; `others`, who
    are neither; `test`, of these whom figures are made of. `linear`: a victim is its answers'
    equations away; `gradients`: it can be differentiated.
    """

    dataset: Dataset
    cfg: Config
    models: dict[str, LogitsFn]
    apis: dict[str, Answer]
    member: Tensor
    public: Tensor
    others: Tensor
    test: Tensor
    linear: bool
    gradients: bool

    @classmethod
    def of(cls, name: str, dataset: Dataset, cfg: Config) -> "Victims":
        """Draws the halves and trains the victims.

        The undefended ones with companions, for an API that answers with a mean.
        """
        numbers, schema = cfg.section(TheftSettings), dataset.schema
        seed = of(Stream.THEFT_HALVES, cfg.seed)
        plan = halves_of(dataset, cfg.plan, models=numbers.victims, seed=seed)
        coins = torch.rand(plan.train.shape, generator=generator(Stream.THEFT_TESTS, cfg.seed))
        coins = coins[:, first_of(dataset.together)]
        attacked = learned_from(dataset, cfg.plan) & (coins >= 0.5)
        others = plan.held_out & ~attacked
        # of images one model answers, and as it is: noise is a function of a record's values
        richer = name == BASELINE and not schema.image
        size = numbers.ensemble if richer and not cfg.plan.frozen else 1
        together = train(name, dataset, companions(plan, size), cfg, apart=True)
        single = together.select(torch.arange(plan.size) * size)
        models: dict[str, LogitsFn] = {PLAIN: single.double()}
        apis = {PLAIN: plain(models[PLAIN])}
        if richer:
            for kind, noise in NOISE.items():
                key = of(Stream.THEFT_NOISE, cfg.seed)
                apis[kind] = noisy(apis[PLAIN], noise, numbers.spread, schema, key)
        if size > 1:
            models[ENSEMBLE] = ensemble(together.double(), size)
            apis[ENSEMBLE] = plain(models[ENSEMBLE])
        linear = isinstance(single, Networks) and not single.architecture.hidden
        whose = (plan.train, plan.held_out & attacked, others)
        test = others & reported_on(dataset, cfg.plan)
        return cls(dataset, cfg, models, apis, *whose, test, linear, single.gradients)

    @property
    def everyone(self) -> Tensor:
        """(V, N, *event) records."""
        return self.dataset.x.expand(len(self.test), *self.dataset.x.shape)

    @property
    def publics(self) -> list[Tensor]:
        """The attacker's own records, for each victim."""
        return [self.dataset.x[rows] for rows in self.public]

    def evaded(self, models: LogitsFn, owner: Tensor | None = None) -> Tensor:
        """Test patients (M, T, *event), as an attack on M models changes them.

        `owner` (M,) says whose patients each model gets.
        """
        threat = Threat.of(self.dataset.schema, self.cfg.threat[self.cfg.audit.headline])
        index = rectangle(self.test)[0] if owner is None else rectangle(self.test)[0][owner]
        x, y = self.dataset.x[index].double(), self.dataset.y[index]
        radius = self.cfg.section(TheftSettings).eps if threat.norm != "l0" else 1.0
        spared = threat.attackable(y).double()
        eps = radius * spared.view(*spared.shape, *[1] * threat.mutable.dim())
        if isinstance(models, Networks):
            models = models.double()
        elif isinstance(models, ImageNetworks):  # whole grey levels are exact in float32
            x, eps = (part.to(models.preprocessing["scale"].dtype) for part in (x, eps))
        if threat.norm == "l0":
            return threat.project(sparse(models, x, y, threat, eps=eps, points=8), x, eps)
        one_step = not models.architecture.hidden if isinstance(models, Networks) else False
        # exact on a linear model; of images for time's sake, of victims and copies alike
        if one_step or isinstance(models, ImageNetworks):
            return threat.project(fgsm(models, x, y, threat, eps=eps), x, eps)
        starts = generator(Stream.EVASION_BY_COPIES, self.cfg.seed)
        if not (self.gradients or isinstance(models, Networks)):
            found = square(models, x, y, threat, eps=eps, queries=SEARCHED, generator=starts)
            return threat.project(found, x, eps)
        return threat.project(
            pgd(models, x, y, threat, eps=eps, steps=10, step_size=0.25, generator=starts), x, eps
        )

    @torch.no_grad()
    def broken_by(self, x_adv: Tensor, model: LogitsFn) -> Tensor:
        """(V, B x T): whether victims err on patients (V, B x T, *event), B versions of each."""
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
    seeds = [
        seed if place == 0 else of(Stream.COMPANION, seed, place)
        for seed in plan.seeds.tolist()
        for place in range(size)
    ]
    return Plan(
        every[0],
        every[1],
        every[2],
        torch.tensor(seeds),
        tuple(f"{label}-{one}" for label in plan.labels for one in range(size)),
        None if plan.tune is None else plan.tune.repeat_interleave(size, 0),
    )
