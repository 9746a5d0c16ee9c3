"""What a recipe's models give away to whoever may ask them: copies, and what a copy is good for."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor

from pipeline.attacks.equations import answers_needed, steal_linear
from pipeline.attacks.oracle import Access, Oracle, plain, shown
from pipeline.attacks.theft import (
    OF_IMAGES,
    Effort,
    Strategy,
    ask,
    ask_actively,
    proposals,
    train_copies,
    uniform,
)
from pipeline.config import BASELINE, Config
from pipeline.data.schema import Dataset
from pipeline.defenses import unfit
from pipeline.files import NOT_FOR_IMAGES
from pipeline.models.cnn import ConvolutionalNetwork
from pipeline.models.designs import AnyArchitecture, architecture_of
from pipeline.models.mlp import Architecture
from pipeline.models.population import Population
from pipeline.risks.theft.measure.grown import grow_copies
from pipeline.risks.theft.measure.settings import TheftSettings
from pipeline.risks.theft.measure.stolen import Theft
from pipeline.risks.theft.measure.victims import PLAIN, Victims
from pipeline.seeds import Stream, generator, of

# diagnoses instead of answers; a linear victim, solved
TRUE_LABELS, EQUATIONS = ("true_labels", "equations")
# uniform records on which a copy is compared with its victim, beside the test patients
INPUTS = 1_000
# A copy by its name: how fast it learns. A few were tried on Pima, on these very splits: what
# converges in a few hundred steps.
EFFORTS = {"linear": {"learning_rate": 3e-2}, "mlp": {"learning_rate": 3e-3}}
GROWN = "trees"  # a copy of a model that gives scores alone, by the headline strategy
# of images: a linear model of all pixels, and the configured network
EFFORTS_OF_IMAGES = {"linear": {"learning_rate": 3e-3}, "network": {"learning_rate": 3e-3}}
NOISE_AND_MEAN = "noisy answers, and those of an ensemble"


def steal(name: str, dataset: Dataset, cfg: Config) -> Theft:
    """Trains victims by a recipe, lets them be asked, and tries what copies are good for."""
    victims = Victims.of(name, dataset, cfg)
    undefended = name == BASELINE
    judged = [judge(victims, copies) for copies in _all_copies(victims, undefended=undefended)]
    everyone, access = victims.everyone, cfg.section(TheftSettings).access
    with torch.no_grad():
        odds = {api: plain(model)(everyone).float() for api, model in victims.models.items()}
        answers = {
            f"{api}/{level}": shown(answer(everyone), level).float()
            for api, answer in victims.apis.items()
            for level in (access if api == PLAIN else access[:1])
        }
    direct = {
        api: victims.spread_out(victims.broken_by(victims.evaded(model), model))
        for api, model in victims.models.items()
    }
    rows, *tensors = zip(*judged, strict=True)
    log_odds, broken, agrees = map(torch.cat, tensors)
    return Theft(
        rows=pd.concat(rows, ignore_index=True),
        log_odds=log_odds,
        broken=broken,
        agrees=agrees,
        member=victims.member,
        test=victims.others,
        y=dataset.y,
        victims=odds,
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
    population: Population
    budgets: list[int]
    counts: Tensor


def judge(victims: Victims, copies: Copies) -> tuple[pd.DataFrame, Tensor, Tensor, Tensor]:
    """What copies say and do: rows, log-odds, whom they break, and where they agree."""
    attackers, models, budgets, counts = copies
    number, width = len(victims.test), len(budgets)
    rows = [
        {**name, "budget": budget, "queries": int(counts[a, b]), "victim": victim}
        for a, name in enumerate(attackers)
        for victim in range(number)
        for b, budget in enumerate(budgets)
    ]
    inputs = uniform(
        victims.dataset.schema,
        victims.dataset.x,
        INPUTS,
        generator(Stream.THEFT_INPUTS, victims.cfg.seed),
    )
    owner = torch.arange(models.size) // width % number
    x_adv = victims.evaded(models, owner).view(
        len(attackers), number, -1, *victims.dataset.x.shape[1:]
    )
    broken, agrees = [], []
    with torch.no_grad():
        log_odds = _said(models, victims.dataset.x).float()
        guesses = (_said(models, inputs) > 0).view(len(attackers), number, width, -1)
        for a, name in enumerate(attackers):
            model = victims.models.get(name["api"], victims.models[PLAIN])
            truth = plain(model)(inputs.expand(number, *inputs.shape)) > 0
            agrees.append((guesses[a] == truth[:, None]).flatten(0, 1))
            broken.append(victims.broken_by(x_adv[a], model).view(number * width, -1))
    return (
        pd.DataFrame(rows),
        log_odds,
        victims.spread_out(torch.cat(broken), owner),
        torch.cat(agrees),
    )


def _said(models: Population, x: Tensor) -> Tensor:
    """(M, N): log-odds of the same records (N, *event)."""
    return plain(models)(x.expand(models.size, *x.shape))


def strategies_of(cfg: Config) -> list[Strategy]:
    """Those of the configured strategies that propose records, or images."""
    asked = cfg.section(TheftSettings).strategies
    return [one for one in asked if cfg.data.image is None or one in OF_IMAGES]


def not_tried(cfg: Config) -> dict[str, str]:
    """What is configured and cannot be tried on such data, or of such a model, and why."""
    numbers = cfg.section(TheftSettings)
    found = {name: unfit(name, cfg) for name in cfg.chosen(numbers.recipes)}
    if cfg.data.image is not None:
        lacking = set(numbers.strategies) - set(strategies_of(cfg))
        found |= dict.fromkeys([f"strategy {one}" for one in lacking], NOT_FOR_IMAGES)
        found[NOISE_AND_MEAN] = NOT_FOR_IMAGES
    return {name: why for name, why in sorted(found.items()) if why}


def _surrogates(victims: Victims) -> list[str]:
    return list(EFFORTS_OF_IMAGES if victims.dataset.schema.image else EFFORTS)


def _grown(victims: Victims) -> bool:
    """Whether copies are grown, too: of whatever may be trees, networks are poor copies."""
    return not (victims.gradients or victims.dataset.schema.image)


def _all_copies(victims: Victims, undefended: bool) -> Iterator[Copies]:
    """Every strategy on the undefended models, the headline on others, then what asks nothing."""
    numbers = victims.cfg.section(TheftSettings)
    for strategy in strategies_of(victims.cfg) if undefended else [numbers.headline]:
        attackers = [(PLAIN, access) for access in numbers.access]
        if strategy == numbers.headline:
            attackers += [(api, numbers.access[0]) for api in victims.apis if api != PLAIN]
        more = [GROWN] if strategy == numbers.headline and _grown(victims) else []
        for surrogate in [*_surrogates(victims), *more]:
            yield _copies(victims, strategy, surrogate, attackers)
    for surrogate in _surrogates(victims):
        yield _from_diagnoses(victims, surrogate)
    if victims.linear:
        budget = answers_needed(victims.dataset.schema)
        oracle = Oracle(victims.apis[PLAIN], "probabilities", budget)
        copies = steal_linear(oracle, victims.dataset.schema, len(victims.test))
        named = {
            "strategy": EQUATIONS,
            "api": PLAIN,
            "access": "probabilities",
            "surrogate": "linear",
        }
        yield Copies([named], copies, [oracle.asked], torch.tensor([[oracle.asked]]))


def _copies(
    victims: Victims, strategy: Strategy, surrogate: str, attackers: list[tuple[str, Access]]
) -> Copies:
    numbers, schema = victims.cfg.section(TheftSettings), victims.dataset.schema
    publics = victims.publics
    budgets, event = list(numbers.budgets), victims.dataset.x.shape[1:]
    shape = (len(attackers), -1, -1, *event)
    oracles = [
        Oracle(victims.apis[api], access, budgets[-1], len(event)) for api, access in attackers
    ]
    # the same luck for everybody: attackers differ by what they are told
    seeds = torch.full((len(attackers),), of(Stream.COPIES, victims.cfg.seed))

    def learn(x: Tensor, answers: Tensor, *sizes: int) -> Population:
        if surrogate == GROWN:
            return grow_copies(x, answers, sizes, seeds)
        return train_copies(x, answers, sizes, seeds, schema, _effort(victims, surrogate))

    def drawn(number: int, count: int) -> Tensor:
        choices = generator(Stream.PROPOSALS, victims.cfg.seed, number)
        return proposals(strategy, schema, publics, count, choices).expand(shape)

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


def _from_diagnoses(victims: Victims, surrogate: str) -> Copies:
    """What a copy must beat: what the attacker's own patients would teach with their diagnoses."""
    theirs = victims.public
    count = int(theirs.sum(1).min())
    index = torch.stack([rows.nonzero()[:, 0][:count] for rows in theirs])
    budgets = sorted({min(budget, count) for budget in victims.cfg.section(TheftSettings).budgets})
    x, y = victims.dataset.x[index][None], victims.dataset.y[index][None].double()
    copies = train_copies(
        x,
        y,
        budgets,
        torch.tensor([of(Stream.COPIES, victims.cfg.seed)]),
        victims.dataset.schema,
        _effort(victims, surrogate),
    )
    named = {"strategy": TRUE_LABELS, "api": "none", "access": "diagnoses", "surrogate": surrogate}
    return Copies([named], copies, budgets, torch.zeros(1, len(budgets), dtype=torch.long))


def _effort(victims: Victims, surrogate: str) -> Effort:
    numbers, schema = victims.cfg.section(TheftSettings), victims.dataset.schema
    efforts = EFFORTS_OF_IMAGES if schema.image else EFFORTS
    return Effort(
        _architecture(victims, surrogate),
        steps=numbers.steps,
        batch_size=64,
        weight_decay=1e-3,
        **efforts[surrogate],
    )


def _architecture(victims: Victims, surrogate: str) -> AnyArchitecture:
    numbers, schema = victims.cfg.section(TheftSettings), victims.dataset.schema
    classes = len(schema.classes)
    if not schema.image:
        hidden = tuple(numbers.hidden) if surrogate == "mlp" else ()
        return Architecture(surrogate, schema.inputs, classes, hidden)
    if surrogate == "network":
        return architecture_of(schema, victims.cfg.model)
    channels, height, width = schema.image
    return ConvolutionalNetwork("cnn", (channels, height, width), classes, (), ())
