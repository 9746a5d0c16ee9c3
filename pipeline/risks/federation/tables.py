"""From answers, rebuilt records and scores to figures with intervals."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline.attacks.updates import HOSTILE
from pipeline.models.answers import disease_score
from pipeline.presentation.numbers import SMALL
from pipeline.risks.columns import DEFENSE, IDS
from pipeline.risks.federation import hospitals, rules
from pipeline.risks.federation.measure.experiment import every_federation, harm_file
from pipeline.risks.federation.measure.federations import NONE
from pipeline.risks.federation.measure.hostile import Harmed
from pipeline.risks.federation.measure.members import BOTH, FINAL, SERVER, Members, members_file
from pipeline.risks.federation.measure.seen import FILE as SEEN
from pipeline.risks.federation.measure.seen import Seen
from pipeline.risks.federation.measure.settings import RECIPE, FederationSettings
from pipeline.risks.membership.measure.shadows import BLIND
from pipeline.risks.membership.tables import RATES, score_figures
from pipeline.risks.poisoning.harm_tables import compared, success_compared
from pipeline.risks.risk import Context, Sources
from pipeline.standards import RISKS, Standards
from pipeline.statistics import Array, intervals, rates
from pipeline.statistics.accounting import gaussian_auroc, gaussian_tpr
from pipeline.statistics.conclusions import Difference, verdict_columns
from pipeline.statistics.intervals import Sampling
from pipeline.statistics.patients import added, first_records, numbered
from pipeline.statistics.separation import bootstrap

FEDERATION = {
    "hospitals": "of the federation",
    "aggregate": "the server's rule",
    "malicious": "hospitals in each model, others in the next; of the control: as many",
}
EVERYTHING = "all of them"  # the row of all measurements together
COLUMNS = {
    **hospitals.COLUMNS,
    "federation_harm": {
        **DEFENSE,
        **FEDERATION,
        "attack": "what malicious hospitals do; none: the control",
        "sees": "whether they know what honest hospitals send in the same round",
        "patients": "who were asked",
        "ill": "of them",
        "accuracy": "right answers, of all",
        "auroc": "chance that an ill patient is scored above a healthy one",
        "sensitivity": "called ill, of the ill",
        "missed_diagnosis_rate": "called healthy, of the ill",
        "attack_success_rate": "of the ill who can carry the trigger and are called ill without "
        "attack, those called healthy with the trigger",
        "control": "the same trigger, without attack",
        "targets": "how many these are",
        **IDS,
    },
    **rules.COLUMNS,
    "federation_verdicts": {
        **DEFENSE,
        **FEDERATION,
        "attack": "what malicious hospitals do",
        "against": "what it is compared with: the same rule without attack; or the mean, nobody "
        "malicious",
        "figure": "what is compared; HIGHER = BETTER",
        "difference": "to that",
        "se": "its standard error: of these models on new patients",
        "p": "after Holm, over all rows of as many hospitals, as many malicious, and one recipe",
        "verdict": "better, worse or not told apart",
        "smallest_detectable": "difference that 80 of 100 such comparisons would tell apart",
    },
    "federation_seen": {
        **DEFENSE,
        "update": "what the server got: a gradient, one clipped and with noise, the weights after "
        "so many steps of training, as Adam takes them, or the sum of a gradient of each hospital",
        "records": "of how many records; how many, the server knows",
        "when": "in which round",
        "measurement": "which one is read; all of them together: in units of scale",
        "unit": "of the errors",
        "patients": "whose records were behind the updates",
        "error": "mean absolute error of what is read, each beside the record it is nearest to",
        "error_guess": "likewise of the guess that reads no update: the median elsewhere",
        "error_others": "likewise of as many records of other hospitals, put beside them",
        "exact": "share that is read to half a step of the grid (without a grid to a hundredth of "
        "a scale); of all together: records of which every measurement is",
        "diagnosis": "share of the diagnoses that is read, of all together",
        **IDS,
    },
    "federation_members": {
        **DEFENSE,
        "hospitals": "of the federation",
        "who": "stranger: sees the model at the end; participant: the global weights of all rounds;"
        " server: what each hospital sends; nobody: sees no model",
        "attack": "what is read",
        "targets": "federations that are attacked, each with the others as its shadows",
        "patients": "about whom each is asked, of other hospitals than the participant's",
        "auroc": "0.5 = guessing",
        "tpr_at_1pct": "members found while 1 % of the others are taken for members",
        "auroc_bound": "the most that the claim allows anybody outside the hospital; empty = no "
        "claim, or one that draws its records by chance",
        "tpr_at_1pct_bound": "likewise",
        **IDS,
    },
}
SHARES = ("accuracy", "sensitivity", "missed_diagnosis_rate")
WHO = {FINAL: "stranger", SERVER: "server", BLIND: "nobody"}


def draw_up(sources: Sources, context: Context) -> dict[str, pd.DataFrame]:
    """The tables named in `COLUMNS`."""
    place, wanted = sources.stage("federation"), context.cfg.section(FederationSettings)
    if place is None or not (place / RECIPE / SEEN).exists():
        return {}
    place, sampling = place / RECIPE, context.sampling
    paths = [place / harm_file(asked) for asked in every_federation(wanted)]
    found = [Harmed.load(path) for path in paths if path.exists()]
    harm = harm_table(found, sampling)
    guessed = [place / members_file(private) for private in (False, True)]
    return {
        **hospitals.draw_up(sources, context),
        "federation_harm": harm,
        "federation_rules": rules.rules_table(harm, sampling.confidence),
        "federation_verdicts": verdict_table(found, sampling),
        "federation_seen": seen_table(Seen.load(place / SEEN), context),
        "federation_members": pd.concat(
            [members_table(Members.load(path), sampling) for path in guessed if path.exists()],
            ignore_index=True,
        ),
    }


# ---- hostile hospitals ----


def harm_table(found: Sequence[Harmed], sampling: Sampling) -> pd.DataFrame:
    """One row per number of hospitals, rule and attack; the control first.

    Differences are to the control under the same rule, paired on the same patients.
    """
    lines = [line for one in found for line in _harms(one, sampling)]
    ends = ("", "_low", "_high", "_difference", "_difference_low", "_difference_high")
    figures = ("accuracy", "auroc", *SHARES[1:], "attack_success_rate")
    columns = [f"{name}{end}" for name in figures for end in ends]
    first = ("defense", *FEDERATION, "attack", "sees", "patients", "ill")
    return pd.DataFrame(lines).reindex(columns=[*first, *columns, "control", "targets", *IDS])


def _harms(one: Harmed, sampling: Sampling) -> Iterator[dict[str, Any]]:
    own, y = sampling.of(one.patients.numpy()), one.y.numpy()
    weights, ill = own.weights(len(y)), y == 1
    before = _score(one, NONE)
    area = rates.auroc(before, y), intervals.bootstrap_auroc(before, y, weights)
    for attack in one.attacks:
        line: dict[str, Any] = {
            "defense": one.recipe,
            "hospitals": len(one.hospitals),
            "aggregate": one.aggregate,
            "malicious": one.malicious,
            "attack": attack,
            "sees": attack != NONE and HOSTILE[attack].sees,
            "patients": own.patients(len(y)),
            "ill": own.patients(len(y), ill),
        }
        for name in SHARES:
            whom = ill if name != "accuracy" else np.ones_like(ill)
            then = value_of(one, NONE, name)[whom]
            now = then if attack == NONE else value_of(one, attack, name)[whom]
            line |= compared(name, now, then, weights[:, whom], own.confidence)
        score = _score(one, attack)
        value, drawn = rates.auroc(score, y), intervals.bootstrap_auroc(score, y, weights)
        line |= intervals.bounded_auroc("auroc", value, drawn, y, weights, own.confidence)
        line |= intervals.bounded(
            "auroc_difference", value - area[0], drawn - area[1], own.confidence
        )
        ids = Standards() if attack == NONE else HOSTILE[attack].ids
        yield line | _success(one, attack, weights, own) | ids.columns()


def _score(one: Harmed, attack: str) -> Array:
    """(S, N) log-odds of disease."""
    margins, cut = one.margins[attack].numpy(), one.cuts[attack].numpy()
    return disease_score(margins, one.y.numpy(), cut)


def value_of(one: Harmed, attack: str, figure: str) -> Array:
    """(N,) the share of repetitions in which each patient adds to a figure of `SHARES`."""
    right = one.margins[attack].numpy() > 0
    return np.asarray((~right if figure == "missed_diagnosis_rate" else right).mean(0))


def _success(one: Harmed, attack: str, weights: Array, own: Sampling) -> dict[str, float]:
    """Of a backdoor, and of the control: whom the trigger turns, of whom there is to win."""
    if attack not in one.triggered or attack == NONE:
        return {}
    called_ill = (one.margins[NONE].numpy() > 0) & (one.y.numpy() == 1)
    chosen = called_ill.any(0) & ~one.triggered[NONE][0].isnan().numpy()
    if not chosen.any():
        return {}
    after, before = (
        ((one.triggered[name].numpy() <= 0) & called_ill).sum(0)[chosen] / called_ill.sum(0)[chosen]
        for name in (attack, NONE)
    )
    whose = numbered(own.whose(len(one.y))[chosen])
    count = len(np.unique(whose))
    figures = success_compared(after, before, weights[:, chosen], whose, own.confidence)
    told = float(count) if count >= SMALL else np.nan
    return figures | {"control": float(before.mean()), "targets": told}


def verdict_table(found: Sequence[Harmed], sampling: Sampling) -> pd.DataFrame:
    """Every attack against no attack under the same rule, and every rule against the mean."""
    asked: dict[tuple[str, int, int], list[Harmed]] = {}
    for one in found:
        asked.setdefault((one.recipe, len(one.hospitals), one.malicious), []).append(one)
    parts = [_judged(together, sampling) for together in asked.values()]
    return pd.concat(parts, ignore_index=True)


def _judged(found: Sequence[Harmed], sampling: Sampling) -> pd.DataFrame:
    """Of the same federation under every rule."""
    differences: dict[tuple[str, str, str, str], Difference] = {}
    patients = 0
    plain = next((one for one in found if one.aggregate == "mean"), None)
    for one in found:
        own = sampling.of(one.patients.numpy())
        weights, y = own.weights(len(one.y)), one.y.numpy()
        patients = own.patients(len(y))
        pairs = [(attack, NONE, one) for attack in one.attacks if attack != NONE]
        if one.aggregate != "mean" and plain is not None:
            pairs.append((NONE, "mean", plain))
        for attack, against, other in pairs:
            for figure, where in (("accuracy", None), ("sensitivity", y == 1)):
                sides = (value_of(one, attack, figure), value_of(other, NONE, figure))
                paired = intervals.paired_difference(*sides, weights, own.confidence, where)
                key = (one.aggregate, attack, against, figure)
                differences[key] = Difference(paired["difference"], paired["se"])
    told = verdict_columns(differences, patients=patients, confidence=sampling.confidence)
    return pd.DataFrame(
        {
            "defense": found[0].recipe,
            "hospitals": len(found[0].hospitals),
            "aggregate": key[0],
            "malicious": found[0].malicious,
            **dict(zip(("attack", "against", "figure"), key[1:], strict=True)),
            **columns,
        }
        for key, columns in told.items()
    )


# ---- the server ----


def seen_table(found: Seen, context: Context) -> pd.DataFrame:
    """One row per update and measurement, and one of all measurements, in units of scale."""
    schema, sampling = context.dataset.schema, context.sampling
    units = schema.column("scale").numpy()
    steps = np.array([float(feature.step or 0) for feature in schema.features])
    near = np.where(steps > 0, steps / 2, units / 100) * (1 + 1e-3)
    weights, whose = sampling.weights(len(context.dataset.y)), context.dataset.patient.numpy()
    lines: list[dict[str, Any]] = []
    for place, kind in enumerate(found.kinds):
        key = str(place)
        rows = found.index[key].flatten().numpy()
        x = context.dataset.x.numpy()[rows].astype(float)
        guess = found.guess[key][:, None].expand_as(found.rebuilt[key])
        errors = {
            name: np.abs(table.flatten(0, 1).numpy() - x)
            for name, table in (
                ("error", found.rebuilt[key]),
                ("error_guess", guess),
                ("error_others", found.others[key]),
            )
        }
        known, drawn = ~np.isnan(x), weights[:, rows]
        exact = errors["error"] <= near
        ill = context.dataset.y.numpy()[rows] == 1
        read = (found.ill[key].flatten().numpy() > 0.5) == ill
        whole = (exact | ~known).all(1).astype(float)
        about: dict[str, Any] = {"update": kind.update, "records": kind.records, "when": kind.when}

        def line(
            name: str,
            unit: str,
            where: Array,
            values: Mapping[str, Array],
            drawn: Array = drawn,
            about: Mapping[str, Any] = about,
            rows: Array = rows,
        ) -> dict[str, Any]:
            figures: dict[str, Any] = {}
            for figure, each in values.items():
                bounded = (
                    intervals.bounded_mean
                    if figure.startswith("error")
                    else intervals.bounded_mean_share
                )
                figures |= bounded(figure, each, drawn, sampling.confidence, where)
            told = {"measurement": name, "unit": unit, "patients": len(set(whose[rows[where]]))}
            ids = RISKS["inversion"].columns()
            return {"defense": RECIPE, **about, **told, **figures, **ids}

        scaled = {
            name: np.nanmean(np.where(known, each / units, np.nan), 1)
            for name, each in errors.items()
        }
        together = {**scaled, "exact": whole, "diagnosis": read.astype(float)}
        lines.append(line(EVERYTHING, "scale", known.any(1), together))
        lines += [
            line(
                name,
                feature.unit,
                known[:, at],
                {
                    **{figure: np.nan_to_num(each[:, at]) for figure, each in errors.items()},
                    "exact": exact[:, at].astype(float),
                },
            )
            for at, (name, feature) in enumerate(zip(schema.names, schema.features, strict=True))
            if known[:, at].any() and feature.kind != "categorical"
        ]
    table = pd.DataFrame(lines)
    return table[[*(name for name in table if name not in IDS), *IDS]]


# ---- members ----


def members_table(found: Members, sampling: Sampling) -> pd.DataFrame:
    """One row per attack; differences are to the model at the end, on the same patients."""
    records = found.member.shape[1]
    whose = sampling.whose(records)
    member = found.member.numpy()[:, first_records(whose)]
    people = sampling.patients(records)
    weights = sampling.each_alone().weights(people)
    scores = {name: added(one.numpy(), whose) for name, one in found.scores.items()}
    drawn = {
        name: bootstrap(one, member, weights, [RATES["tpr_at_1pct"]])
        for name, one in scores.items()
    }
    figures = {
        name: score_figures(one, member, weights, sampling.confidence)
        for name, one in scores.items()
    }
    lines = []
    for name, values in figures.items():
        line: dict[str, Any] = {
            "defense": found.recipe,
            "hospitals": found.hospitals,
            "who": WHO.get(name, "participant"),
            "attack": name,
            "targets": len(member),
            "patients": people,
        }
        for place, column in enumerate(("auroc", "tpr_at_1pct")):
            kept = {key: value for key, value in values.items() if key in _ends(column)}
            gap = values[column] - figures[FINAL][column]
            samples = drawn[name][place] - drawn[FINAL][place]
            found_gap = intervals.bounded(
                f"{column}_difference", gap, samples.reshape(len(weights)), sampling.confidence
            )
            line |= kept | found_gap
        allowed = (math.nan, math.nan)
        if found.strength is not None and name != BLIND:
            allowed = (gaussian_auroc(found.strength), gaussian_tpr(found.strength, 0.01))
        line |= dict(zip(("auroc_bound", "tpr_at_1pct_bound"), allowed, strict=True))
        nobody = Standards().columns()
        lines.append(line | (nobody if name == BLIND else RISKS["membership"].columns()))
    return pd.DataFrame(lines)


def _ends(column: str) -> tuple[str, ...]:
    return tuple(f"{column}{end}" for end in ("", "_low", "_high"))


def participant(tables: Mapping[str, pd.DataFrame]) -> "pd.Series[Any]":
    """The row of a participant who reads both the answers and the steps of all rounds."""
    table = tables["federation_members"]
    return table[table["attack"] == BOTH].iloc[0]  # of the recipe that promises nothing
