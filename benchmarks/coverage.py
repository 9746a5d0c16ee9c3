"""How often a 95 % interval holds what it is meant to hold: asked of made-up cohorts.

    python -m benchmarks.coverage stand_ins 500    goes on until there are so many cohorts
    python -m benchmarks.coverage own 100          the same with recipes of this project
    python -m benchmarks.coverage                  the table alone, from the cohorts there are

Each cohort of 768 is drawn anew from one population, and a recipe is cross-validated on it as in a
run: five folds, five repetitions, a cut for each model as the recipe chooses it. What its models
reach is measured on fresh patients; the mean of that over all cohorts is what the recipe reaches,
which an interval must hold.

`stand_ins` are cheap recipes of the same kind: random ReLU features with logistic regression
(undefended), and the same fitted again on records attacked by FGSM (defended); both choose each
model's cut on its own scores of its training rows. `own` are recipes of this project as a run
trains them, with their cuts: from inner folds, `dp_train`'s a public constant.

A cohort's result is one line of `benchmarks/coverage/<kind>.jsonl`, written when it is done, so
that a run that was stopped goes on; `benchmarks/coverage.json` is the table.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.jobs import as_done
from benchmarks.table import table
from pipeline.attacks.evasion.gradient import pgd
from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset, Schema
from pipeline.data.threat import Threat
from pipeline.defenses.decision import DECISION, PUBLIC
from pipeline.defenses.trained import train, train_reported
from pipeline.files import BadInput, write_json, write_text
from pipeline.models.population import Networks, networks_of
from pipeline.params import load
from pipeline.statistics import Array
from pipeline.statistics.edges import wilson
from pipeline.statistics.trainings import MODELS as THESE
from pipeline.statistics.trainings import (
    RECIPE,
    Estimate,
    Spread,
    asked,
    estimate_auroc,
    estimate_mean,
)

HERE = Path(__file__).parent
COHORTS, RESULT = HERE / "coverage", HERE / "coverage.json"
RECORDS, FRESH, FOLDS, REPETITIONS = 768, 4000, 5, 5
HALVES, AGAIN = 128, 32  # half models, and how many halves are trained on with a second seed
MODELS = FOLDS * REPETITIONS
SPECIFICITY, EPS, STEPS = 0.85, 0.3, 10
HELD = "specificity"  # the figure that the rule of decision holds where it wants it
FIGURES = (
    "accuracy",
    "sensitivity",
    "specificity",
    "auroc",
    "robust accuracy",
    "robust sensitivity",
)
RECIPES = {"stand_ins": ("undefended", "defended"), "own": ("baseline", "adv_train", "dp_train")}
Z = 1.959963984540054
Line = list[float | None]  # a figure's values, in the order of `PARTS`
GATE, MEAN_GATE, WIDEST = (0.92, 0.98), (0.93, 0.97), 1.4

# ---- a population ----

RULE = torch.tensor([0.47, 1.55, -0.07, 0.07, 0.14, 0.95, 0.47, 0.47])  # of the schema's features
SHARED = torch.tensor([0.4, 0.6, 0.5, 0.8, 0.7, 0.9, 0.0, 0.5])  # what its features have in common


def draw(records: int, schema: Schema, generator: torch.Generator) -> Dataset:
    """Patients who owe nothing to any cohort; of all values a tenth is missing."""
    center, scale, lower, upper = (
        schema.column(name).float() for name in ("center", "scale", "lower", "upper")
    )
    step = torch.tensor([feature.step or 0.0 for feature in schema.features])
    z = 0.85 * torch.randn(records, len(center), generator=generator)
    z = z + 0.53 * torch.randn(records, 1, generator=generator) * SHARED
    score = z @ RULE - 1.1 + 0.3 * z[:, 1] * z[:, 5] - 0.2 * z[:, 7] ** 2
    y = (torch.rand(records, generator=generator) < torch.sigmoid(score)).long()
    x = (center + scale * z).clamp(lower, upper)
    x = torch.where(step > 0, (x / step.clamp(min=1e-9)).round() * step, x)
    x[torch.rand(x.shape, generator=generator) < 0.1] = torch.nan
    return Dataset(x, y, schema)


# ---- recipes: scores without and with an attack ----


@dataclass(frozen=True)
class Scored:
    """Log-odds of disease from the cut on: `attacked` where a model did not learn from the patient.

    The first `MODELS` rows are the cross-validation, the others half models. The reported models
    also answer fresh patients, (MODELS, FRESH). `held`: cuts were chosen on training rows.
    """

    clean: Array
    attacked: Array
    fresh: Array
    fresh_attacked: Array
    held: bool = True


WIDTH, RIDGE, NEWTON = 32, 10.0, 5


def stand_ins(data: Dataset, fresh: Dataset, plan: Plan, cfg: Config) -> dict[str, Scored]:
    """Two recipes in a second: random features, as many draws as there are seeds."""
    schema = data.schema
    mutable = torch.tensor([feature.mutable for feature in schema.features])

    def standard(x: Tensor) -> tuple[Tensor, Tensor]:
        z = (x - schema.column("center").float()) / schema.column("scale").float()
        return z.nan_to_num(), mutable & ~x.isnan()

    drawn = [torch.Generator().manual_seed(seed) for seed in plan.seeds.tolist()]
    weight = torch.stack([torch.randn(8, WIDTH, generator=one) for one in drawn]) * 1.5 / 8**0.5
    bias = torch.stack([torch.rand(1, WIDTH, generator=one) for one in drawn]) * 2 - 1

    def features(z: Tensor, models: slice) -> Tensor:
        active = (z @ weight[models] + bias[models]).relu()
        return torch.cat([active, active.new_ones(*active.shape[:-1], 1)], -1)

    def attack(z: Tensor, free: Tensor, y: Tensor, fitted: Tensor, models: slice) -> Tensor:
        active = (z @ weight[models] + bias[models]) > 0
        slope = (active * fitted[models, None, :-1, 0]) @ weight[models].transpose(1, 2)
        return z + EPS * slope.sign() * free * (1 - 2 * y)[:, None]

    def scored(fitted: Tensor) -> Scored:
        def of(one: Dataset, models: slice) -> tuple[Array, Array]:
            z, free = standard(one.x)
            worst = attack(z, free, one.y, fitted, models)
            clean, attacked = (
                (features(records, models) @ fitted[models])[..., 0].numpy()
                for records in (z, worst)
            )
            return clean, attacked

        found = Scored(*of(data, slice(None)), *of(fresh, slice(MODELS)))
        return above_cut(found, data.y.numpy(), plan.train.numpy())

    z, free = standard(data.x)
    everyone, who = slice(None), plan.train.float()
    y = data.y.float().expand(len(who), -1)
    known = features(z, everyone)
    undefended = logistic_regression(known, y, who)
    attacked = features(attack(z, free, data.y, undefended, everyone), everyone)
    defended = logistic_regression(
        torch.cat([known, attacked], 1), torch.cat([y, y], 1), torch.cat([who, who], 1) / 2
    )
    return {"undefended": scored(undefended), "defended": scored(defended)}


def logistic_regression(features: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    """(M, F, 1): Newton's method with a ridge, which spares the last column, the constant."""
    fitted = features.new_zeros(len(features), features.shape[-1], 1)
    ridge = RIDGE * torch.eye(features.shape[-1])
    ridge[-1, -1] = 1e-3
    for _ in range(NEWTON):
        p = torch.sigmoid(features @ fitted)
        curved = features.mT @ (weight[..., None] * p * (1 - p) * features) + ridge
        slope = features.mT @ (weight[..., None] * (y[..., None] - p)) - ridge @ fitted
        fitted = fitted + torch.linalg.solve(curved, slope)
    return fitted


def own(data: Dataset, fresh: Dataset, plan: Plan, cfg: Config) -> dict[str, Scored]:
    """Recipes of this project as configured; attacked by PGD on the margin, at the headline."""
    return {name: _own(name, data, fresh, plan, cfg) for name in RECIPES["own"]}


def _own(name: str, data: Dataset, fresh: Dataset, plan: Plan, cfg: Config) -> Scored:
    # apart, because the smallest training set says how many steps all members take
    folds, halves = plan.select(torch.arange(MODELS)), plan.select(torch.arange(MODELS, plan.size))
    reported = train_reported(name, data, folds, cfg)
    parts = [networks_of(one) for one in (reported, train(name, data, halves, cfg))]
    found = _answers(Networks.join(parts), data, fresh, plan, cfg)
    return replace(found, held=reported.facts[DECISION]["chosen_on"] != PUBLIC)


@torch.no_grad()
def _answers(
    population: Networks, data: Dataset, fresh: Dataset, plan: Plan, cfg: Config
) -> Scored:
    threat = Threat.of(data.schema, cfg.threat[cfg.audit.headline])
    reported = population.select(torch.arange(MODELS))

    def attacked(models, x: Tensor, y: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        found = pgd(models, x, y, threat, eps=EPS, steps=STEPS, step_size=0.25, generator=generator)
        return log_odds(models(found))

    index, valid = plan.held_out_index()
    worst = torch.full(plan.train.shape, torch.nan)
    rows = torch.arange(plan.size)[:, None].expand(index.shape)
    found = attacked(population, data.x[index], data.y[index])
    worst[rows[valid], index[valid]] = found[valid]
    x, y = (one.expand(MODELS, *one.shape) for one in (fresh.x, fresh.y))
    return Scored(
        log_odds(population(data.x.expand(plan.size, -1, -1))).numpy(),
        worst.numpy(),
        log_odds(reported(x)).numpy(),
        attacked(reported, x, y).numpy(),
    )


def log_odds(logits: Tensor) -> Tensor:
    return logits[..., 1] - logits[..., 0]


KINDS: dict[str, Callable[..., dict[str, Scored]]] = {"stand_ins": stand_ins, "own": own}

# ---- one cohort ----


def cohort(kind: str, number: int, cfg: Config) -> dict[str, Line]:
    """What one cohort says of every figure, by `<recipe> <figure>` and `<recipe> - <first> ...`.

    Returns:
        the cross-validated figure, what these models reach on fresh patients, and the parts of
        `Spread`, which are variances (the last one None where no rule holds the figure).
    """
    generator = torch.Generator().manual_seed(1_000 + number)
    schema = Schema.of(cfg.data)
    data, fresh = draw(RECORDS, schema, generator), draw(FRESH, schema, generator)
    plan = whole_plan(data.y, number)
    scored = KINDS[kind](data, fresh, plan, cfg)
    seen, y, fresh_y = plan.train.numpy(), data.y.numpy(), fresh.y.numpy()
    model_of = model_of_patient(plan)
    first, *others = scored
    found: dict[str, Line] = {}
    for name, against in [
        (first, None),
        *((o, None) for o in others),
        *((o, first) for o in others),
    ]:
        minus = None if against is None else scored[against]
        label = name if against is None else f"{name} - {against}"
        for figure in FIGURES:
            line = _figure(figure, scored[name], minus, seen, model_of, y, fresh_y)
            found[f"{label}: {figure}"] = line
    return found


def whole_plan(y: Tensor, number: int) -> Plan:
    """Cross-validation, random halves, and some of these once more; all seeds differ."""
    folds = Plan.cross_validation(y, folds=FOLDS, seeds=REPETITIONS, seed=number, release=False)
    halves = Plan.random_halves(len(y), models=HALVES, seed=number).with_second_seeds(AGAIN)
    parts = (folds, halves)
    return Plan(
        torch.cat([part.train for part in parts]),
        torch.cat([part.held_out for part in parts]),
        torch.cat([part.repetition for part in parts]),
        10_000 * number + torch.arange(folds.size + halves.size),
        folds.labels + halves.labels,
    )


def model_of_patient(plan: Plan) -> Array:
    """(REPETITIONS, N): which model holds each patient out."""
    held = plan.held_out[:MODELS].view(REPETITIONS, FOLDS, -1).long().argmax(1)
    return (held + FOLDS * torch.arange(REPETITIONS)[:, None]).numpy()


def above_cut(one: Scored, y: Array, seen: Array) -> Scored:
    """All scores less each model's own cut, chosen on the rows that it trained on."""
    cut = np.array(
        [
            cut_at_specificity(score[rows], y[rows], SPECIFICITY)
            for score, rows in zip(one.clean, seen, strict=True)
        ]
    )[:, None]
    return Scored(
        one.clean - cut,
        one.attacked - cut,
        one.fresh - cut[:MODELS],
        one.fresh_attacked - cut[:MODELS],
    )


def cut_at_specificity(scores: Array, y: Array, specificity: float) -> float:
    """The smallest cut at which at least so many of the healthy lie below or at it."""
    healthy = np.sort(scores[y == 0])
    return float(healthy[int(np.ceil(specificity * len(healthy) - 1e-9)) - 1])


def _figure(
    figure: str,
    one: Scored,
    minus: Scored | None,
    seen: Array,
    model_of: Array,
    y: Array,
    fresh_y: Array,
) -> Line:
    attacked, name = figure.startswith("robust "), figure.removeprefix("robust ")
    halves, patients = seen[MODELS:], np.arange(len(y))

    def pick(scored: Scored) -> tuple[Array, Array]:
        if attacked:
            return scored.attacked, scored.fresh_attacked
        return scored.clean, scored.fresh

    both = [pick(scored) for scored in (one, minus) if scored is not None]
    if name == "auroc":
        reported = [scores[model_of, patients] for scores, _ in both]
        against = (reported[1], both[1][0][MODELS:]) if minus is not None else None
        found = estimate_auroc(
            reported[0], both[0][0][MODELS:], halves, y, models=MODELS, against=against
        )
        reached = less([np.mean([mann_whitney(s, fresh_y) for s in fresh]) for _, fresh in both])
    else:
        right = [((scores > 0) == (y == 1)).astype(float) for scores, _ in both]
        found = estimate_mean(
            right[0][model_of, patients],
            less(right)[MODELS:],
            halves,
            asked(name, y),
            models=MODELS,
            held=figure == HELD and one.held and (minus is None or minus.held),
            against=None if minus is None else right[1][model_of, patients],
        )
        fresh_right = less([((fresh > 0) == (fresh_y == 1)).astype(float) for _, fresh in both])
        reached = fresh_right[:, asked(name, fresh_y)].mean()
    parts = found.spread
    return [found.value, reached, *(getattr(parts, name) for name in PARTS[2:])]


def less(sides: list):
    return sides[0] if len(sides) == 1 else sides[0] - sides[1]


def mann_whitney(score: Array, y: Array) -> float:
    from scipy.stats import rankdata

    ill, healthy = (y == 1).sum(), (y == 0).sum()
    return (rankdata(score)[y == 1].sum() - ill * (ill + 1) / 2) / (ill * healthy)


# ---- many cohorts ----

PARTS = ("estimate", "reached", "patients", "trainings", "seeds", "together", "held")
MILLIONTH = 1e-6  # the unit in which variances are written down
DESIGN = {
    "records": RECORDS,
    "fresh": FRESH,
    "models": MODELS,
    "halves": HALVES,
    "again": AGAIN,
    "specificity": SPECIFICITY,
    "eps": EPS,
    "values": list(PARTS),
}


def run(kind: str, cohorts: int) -> None:
    """Adds the cohorts that are missing, one line each, in as many processes as torch has threads.

    The lines are in order when all are there; a run that was stopped leaves them as they came.
    """
    cfg, place = load(), COHORTS / f"{kind}.jsonl"
    COHORTS.mkdir(exist_ok=True)
    done = read(place)
    missing = [number for number in range(cohorts) if number not in done]
    for (_, number, _), found in as_done(cohort, [(kind, one, cfg) for one in missing]):
        if not place.exists():
            place.write_text(_line(DESIGN | {"figures": list(found)}), encoding="utf-8")
        with place.open("a", encoding="utf-8") as file:
            file.write(written(number, found))
        print(f"{kind}: cohort {number}", file=sys.stderr, flush=True)
    if missing:
        first, *lines = place.read_text(encoding="utf-8").splitlines(keepends=True)
        lines.sort(key=lambda line: json.loads(line)["cohort"])
        write_text(place, first + "".join(lines))


def written(number: int, found: dict[str, Line]) -> str:
    """A cohort's line: figures to five digits behind the point, variances to four in all."""
    values = [
        [round(one, 5) for one in line[:2]]
        + [None if one is None else float(f"{one / MILLIONTH:.4g}") for one in line[2:]]
        for line in found.values()
    ]
    return _line({"cohort": number, "values": values})


def _line(values: dict) -> str:
    return json.dumps(values, separators=(",", ":")) + "\n"


def read(place: Path) -> dict[int, dict[str, Line]]:
    """The cohorts of a file, by their number; a last line that a killed run cut off is removed.

    Raises:
        BadInput: the file is of another design.
    """
    if not place.exists():
        return {}
    text = place.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        place.write_text(whole, encoding="utf-8")
    if not whole:
        place.unlink()
        return {}
    first, *lines = [json.loads(line) for line in whole.splitlines()]
    figures = first.pop("figures", None)
    if first != DESIGN:
        raise BadInput(f"{place}: of another design than this version's; move it away")
    return {
        line["cohort"]: {
            figure: [*values[:2], *(None if one is None else one * MILLIONTH for one in values[2:])]
            for figure, values in zip(figures, line["values"], strict=True)
        }
        for line in lines
    }


# ---- what they say ----


def covered(cohorts: list[dict[str, Line]]) -> list[dict]:
    """One entry per figure: how often an interval holds what it is meant to hold, and its width.

    Args:
        cohorts: of one kind, each a figure's values in the order of `PARTS`.

    Returns:
        `coverage` of the recipe's interval, with the simulation's own 95 % interval (`low`,
        `high`); `width`, the mean standard error over the figure's true spread over cohorts;
        `these_models`, how often the interval for these models holds what they reach; and
        `patients_only`, how often that interval holds what the recipe reaches.
    """
    entries = []
    for figure in cohorts[0]:
        values = [cohort[figure] for cohort in cohorts]
        estimate, reached = np.array([line[:2] for line in values]).T
        spreads = [Spread(*line[2:-1], models=MODELS, held=line[-1]) for line in values]
        estimates = [Estimate(*pair) for pair in zip(estimate, spreads, strict=True)]
        se, narrow = (np.array([one.se(asks) for one in estimates]) for asks in (RECIPE, THESE))
        truth = reached.mean()
        # the fresh patients are a sample, too
        fresh = np.hypot(narrow, narrow * (RECORDS / FRESH) ** 0.5)
        held = np.abs(estimate - truth) <= Z * se
        low, high = wilson(int(held.sum()), len(held))
        entries.append(
            {
                "figure": figure,
                "cohorts": len(held),
                "mean": round(float(truth), 4),
                "spread": round(float(((estimate - truth) ** 2).mean() ** 0.5), 4),
                "coverage": round(float(held.mean()), 3),
                "low": round(low, 3),
                "high": round(high, 3),
                "width": round(float(se.mean() / ((estimate - truth) ** 2).mean() ** 0.5), 2),
                "these_models": round(float((np.abs(estimate - reached) <= Z * fresh).mean()), 3),
                "patients_only": round(float((np.abs(estimate - truth) <= Z * narrow).mean()), 3),
            }
        )
    return entries


def verdict(entries: list[dict]) -> dict:
    """Whether the intervals pass, by the rules that were fixed beforehand.

    A figure fails only where the simulation's own interval lies outside 92 to 98 %; the mean over
    figures must be 93 to 97 %; no interval may be wider than 1.4 times what is needed.
    """
    mean = float(np.mean([entry["coverage"] for entry in entries]))
    return {
        "cohorts": entries[0]["cohorts"],
        "mean_coverage": round(mean, 3),
        "mean_passes": MEAN_GATE[0] <= mean <= MEAN_GATE[1],
        "too_rarely": [entry["figure"] for entry in entries if entry["high"] < GATE[0]],
        "too_often": [entry["figure"] for entry in entries if entry["low"] > GATE[1]],
        "too_wide": [entry["figure"] for entry in entries if entry["width"] > WIDEST],
    }


def result() -> dict[str, dict]:
    """The table of every kind that has cohorts, and its verdict."""
    found = {}
    for kind in KINDS:
        cohorts = list(read(COHORTS / f"{kind}.jsonl").values())
        if len(cohorts) > 1:
            entries = covered(cohorts)
            found[kind] = {"verdict": verdict(entries), "figures": entries}
    return found


def coverage_table(entries: list[dict]) -> str:
    columns = list(entries[0])
    return table(columns, [[str(entry[name]) for name in columns] for entry in entries], left=1)


def main(arguments: list[str]) -> None:
    if arguments:
        if len(arguments) != 2 or arguments[0] not in KINDS or not arguments[1].isdigit():
            raise BadInput(f"usage: python -m benchmarks.coverage [{'|'.join(KINDS)} COHORTS]")
        run(arguments[0], int(arguments[1]))
    found = result()
    write_json(RESULT, found)
    for kind, one in found.items():
        print(f"{kind}: {one['verdict']}\n{coverage_table(one['figures'])}\n")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
