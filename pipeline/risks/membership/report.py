"""What is said of membership.

Who can be recognised, how often, and what is claimed beside what is shown.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from pipeline.attacks.membership import MEMBERSHIP
from pipeline.data.halves import learned_from
from pipeline.defenses.federated.server import NAME as OF_HOSPITALS
from pipeline.presentation.chapter import (
    Chapter,
    Finding,
    Fold,
    Heading,
    Items,
    Note,
    Part,
    Reader,
    Table,
)
from pipeline.presentation.numbers import as_told, few, interval_text, with_interval
from pipeline.risks.membership.measure.settings import MembershipSettings
from pipeline.risks.membership.measure.shadows import BLIND
from pipeline.risks.membership.patients import MOST, standing_out
from pipeline.risks.membership.pictures import draw, draw_all
from pipeline.risks.membership.risk import RISK, range_of
from pipeline.risks.membership.tables import STRONGEST
from pipeline.risks.risk import Context, Tables
from pipeline.risks.sentences import (
    concluded,
    model_of,
    models_of_each,
    narrow,
    patients_told,
    per_hundred,
    whose,
)

TITLE = "Who can tell that a patient was in the training set"
RELEASE = (
    "Whoever holds a released model can ask it as often as he likes, as these attackers did. "
    "The models that were measured learned from half of the patients; a released model learns from "
    "all of them, and nobody is left outside who could be compared. Attackers saw answers, not "
    "weights."
)


def chapters(tables: Tables, context: Context, folder: Path) -> Sequence[Chapter]:
    """One chapter: the strongest attack on every defense, what is claimed, whose data show most."""
    if not len(tables.get("membership", ())):
        return ()
    table, groups = tables["membership"], tables["subgroups"]
    curves = tables["plots/membership_roc"]
    shows = _sentence(table, context)
    claims = [Items(entries)] if (entries := _claims(table, context)) else []
    parts: list[Part] = [
        draw(table, curves, shows, context, folder),
        Table(_headlines(table, groups, context), caption=_asked(table, context)),
        Fold("How it was measured", [Note(_how(table, context))]),
        Fold("Whose data show most", _exposed(groups, context)),
        Fold(
            "Every attack on every defense",
            [
                Table(_attacks(table, context)),
                Table(_others(table, context)),
                draw_all(curves, context, folder),
            ],
        ),
    ]
    if claims:
        parts.append(Fold("What differential privacy claims, and what was shown", claims))
    return (Chapter(TITLE, parts, _result(tables, context), _brief(tables, context)),)


def finding(tables: Tables, context: Context) -> Finding | None:
    """How many members a stranger recognises; None: nothing was measured."""
    if not len(tables.get("membership", ())):
        return None
    table = tables["membership"]
    return _strangers(table, context)


def untested(tables: Tables, context: Context) -> Sequence[str]:
    """What a reader could take for tested, and was not."""
    if not len(tables.get("membership", ())):
        return ("Membership inference: nothing was measured.",)
    left_out = [
        name for name in MEMBERSHIP if name not in context.cfg.section(MembershipSettings).attacks
    ]
    said = [
        "Membership inference by who reads the weights: attackers saw answers. Only the audit of "
        "differential privacy sees gradients.",
        "Membership inference by attackers with models of their own beside the deployed one."
        if context.cfg.plan.frozen
        else "Membership inference on the released model itself: it learned from every patient, "
        "and models of half of them were attacked in its place.",
        "What a model tells of the cohort as a whole (property inference).",
    ]
    return [*said, f"Membership attacks not run: {', '.join(left_out)}."] if left_out else said


def _strongest(table: pd.DataFrame, defense: str) -> pd.Series:
    return table[(table["attack"] == STRONGEST) & (table["defense"] == defense)].iloc[0]


def _sentence(table: pd.DataFrame, context: Context) -> str:
    return _strangers(table, context).whole


def _strangers(table: pd.DataFrame, context: Context) -> Finding:
    """The strongest attack on the undefended models, in patients."""
    name = whose(table)
    line = _strongest(table, name)
    area = (
        f"AUROC {interval_text(line['auroc'], line['auroc_low'], line['auroc_high'])}; 0.5 is "
        "guessing"
    )
    own = f": {line['shadows']:.0f} of his own" if line["shadows"] else ""
    who = (
        f"A stranger who sees the {line['access']} of {model_of(name, context)} "
        f"({line['knowledge']}{own})"
    )
    if pd.isna(line["tpr_at_1pct"]):
        return Finding(f"{who} tells patients of its training set from others with {area}.", name)
    found = per_hundred(*(line[f"tpr_at_1pct{end}"] for end in ("", "_low", "_high")))
    members = patients_told(round(line["tpr_at_1pct"] * line["trained_on"]), context)
    return Finding(
        f"{who} recognises {found} patients of its training set, {members} of "
        f"{line['trained_on']:.0f}, while accusing 1 in 100 others wrongly.",
        name,
        f"{area}.",
    )


def _result(tables: Tables, context: Context) -> str:
    table = tables["membership"]
    name = whose(table)
    line = _strongest(table, name)
    area = interval_text(line["auroc"], line["auroc_low"], line["auroc_high"])
    first = f"The strongest attack on {model_of(name, context)} has AUROC {area} (0.5: guessing)."
    figure = next(iter(RISK.headline(tables, context.cfg)), None)
    more = concluded(RISK.name, figure, context) if figure else ""
    return f"{first} {more}".strip()


def _asked(table: pd.DataFrame, context: Context) -> str:
    first = table.iloc[0]
    each = "" if context.cfg.plan.frozen else "each "
    return (
        f"The strongest attack on {models_of_each(first['targets'], context)}, {each}asked about "
        f"{_count(first['patients'])} patients"
    )


def _count(patients: float) -> str:
    return "all" if pd.isna(patients) else f"{patients:.0f}"


def _how(table: pd.DataFrame, context: Context) -> str:
    first = table.iloc[0]
    if context.cfg.plan.frozen:
        return (
            f"The deployed model is asked about {_count(first['patients'])} patients, of whom it "
            f"was trained on {first['trained_on']:.0f}, without shadow models. AUROC 0.5 is "
            "guessing. TPR at 1 % FPR: members that are recognised while 1 % of the others are "
            f"taken for members. Intervals: bootstrap over patients. {BLIND}: a control that sees "
            f"no model, so that nothing is found (AUROC {first['auroc_control']:.3f})."
        )
    return (
        f"{first['targets']:.0f} models of each recipe, each trained on its own random half of the "
        f"{_count(first['patients'])} patients (about {first['trained_on']:.0f} of them; a model "
        "of all patients remembers each of them less) and attacked with the others as shadow "
        "models. Each target is asked about every patient. AUROC 0.5 is guessing. TPR at 1 % FPR: "
        "members that are recognised while 1 % of the others are taken for members. Intervals: "
        f"bootstrap over patients. {STRONGEST}: each half of the targets is attacked by what is "
        f"strongest on the other half. {BLIND}: a control that sees no model, so that nothing is "
        f"found (AUROC {first['auroc_control']:.3f}).{_of_whom(context)}"
    )


def _of_whom(context: Context) -> str:
    """Whose halves these are, where that is not everybody's."""
    if learned_from(context.dataset, context.cfg.plan).all():
        return ""
    return (
        " These are halves of those whom the official split trains on, and nobody else is asked "
        "about: test records differ as such, and to tell them from the others is no leak."
    )


def _exposed(groups: pd.DataFrame, context: Context) -> list[Part]:
    note = Note(
        "exposure: how well models that trained on a patient can be told from the others by "
        "their answer to that patient (AUROC over models; 0.5: not at all), mean of the group. "
        f"The worst group comes first. {MOST}: chosen by one half of the models, measured by "
        "the other. The most exposed patients stand in exposed.csv."
    )
    return [note, *narrow(_groups(groups, context), ["group", "patients"])]


def _brief(tables: Tables, context: Context) -> Mapping[Reader, Sequence[Part]]:
    """For a data protection officer: who is recognised, who stands out, what is claimed."""
    table, groups = tables["membership"], tables["subgroups"]
    name = whose(table)
    own = groups[(groups["defense"] == name) & (groups["group"] != MOST)]
    entries = []
    if len(own):
        worst = own.iloc[0]
        mean = interval_text(*(worst[f"exposure{end}"] for end in ("", "_low", "_high")))
        who = f"{worst['by']} {worst['group']} ({as_told(own['patients']).iloc[0]} patients)"
        entries.append(("Worst group", f"{who}: mean exposure {mean}; 0.5 is none."))
    if len(tables.get("exposure", ())):
        entries.append(("Patients who stand out", _out(tables, name, context)))
    short = [(whose_, text) for whose_, text in _claims(table, context, short=True)]
    shown = _briefly(tables, context)
    parts: list[Part] = [
        Heading("Membership"),
        Items([*entries, *short, ("Release", RELEASE)]),
        Table(shown),
    ]
    return {"privacy": parts}


def _out(tables: Tables, name: str, context: Context) -> str:
    exposures = tables["exposure"]
    own = exposures[exposures["defense"] == name]["exposure"].to_numpy()
    line = _strongest(tables["membership"], name)
    confidence = context.cfg.audit.confidence
    least, count = standing_out(own, int(line["targets"]), confidence)
    return (
        f"{few(count)} of {len(own)} have an exposure of {least:.3f} or more to "
        f"{model_of(name, context)}: more than chance gives any patient ({confidence:.0%} for all "
        "together)."
    )


def _briefly(tables: Tables, context: Context) -> pd.DataFrame:
    lines = tables["membership"]
    lines = lines[lines["attack"] == STRONGEST]
    shown = pd.DataFrame(
        {
            "defense": [context.display(name) for name in lines["defense"]],
            "AUROC (0.5: guessing)": with_interval(lines, "auroc"),
            "members found at 1 % wrong": with_interval(lines, "tpr_at_1pct"),
        }
    )
    if len(exposures := tables.get("exposure", pd.DataFrame())):
        targets, confidence = int(lines["targets"].iloc[0]), context.cfg.audit.confidence
        of = {
            str(name): standing_out(own["exposure"].to_numpy(), targets, confidence)[1]
            for name, own in exposures.groupby("defense", sort=False)
        }
        shown["patients who stand out"] = [few(of[name]) for name in lines["defense"]]
    return shown


def _claims(table: pd.DataFrame, context: Context, *, short: bool = False) -> list[tuple[str, str]]:
    claimed = table.drop_duplicates("defense").dropna(subset="epsilon_claimed")
    said = _claim_in_short if short else _claim
    return [(context.display(line["defense"]), said(line)) for _, line in claimed.iterrows()]


def _claim_in_short(line: pd.Series) -> str:
    """The claim, the audit, what it adds up to, and whether such a model may leave the house."""
    return (
        f"claims differential privacy with epsilon {line['epsilon_claimed']:.3f} at delta "
        f"{line['delta']:g} for one model's weights, one {_unit(line)} added or removed; "
        f"{_of_a_patient(line)}{_audited(line)}. All models of this run together: epsilon "
        f"{line['epsilon_all']:.1f}. Noise {line['noise_source']}."
    )


def _claim(line: pd.Series) -> str:
    """What is claimed, recomputed, measured and audited, what it adds up to, what it leaves out."""
    return (
        f"claims epsilon {line['epsilon_claimed']:.3f} at delta {line['delta']:g} for one model's "
        f"weights, one {_unit(line)} added or removed ({line['epsilon_replace_one']:.2f} if one is "
        f"replaced); {_of_a_patient(line)}recomputed: {line['epsilon_recomputed']:.3f}; "
        f"{_audited(line)}; noise as "
        f"measured in training: {line['noise_measured']:.3g} of what is claimed. All models of "
        f"this run together spend {line['epsilon_all']:.1f}, those that one {_who(line)} takes "
        f"part in {line['epsilon_patient']:.1f}. Noise {line['noise_source']}. Not covered: the "
        "choice of hyper-parameters, of a checkpoint or a threshold; this page's figures; readers "
        "who know the noise's seed."
    )


def _of_a_patient(line: pd.Series) -> str:
    """What is claimed where a patient has several records: the claim itself is of one."""
    if pd.isna(line["epsilon_one_patient"]):
        return ""
    return (
        f"per patient (up to {line['records_of_a_patient']:.0f} records): epsilon "
        f"{line['epsilon_one_patient']:.3f}; "
    )


def _unit(line: pd.Series) -> str:
    """What is added or removed: a record, or all that a hospital has."""
    return "hospital" if str(line["defense"]).startswith(OF_HOSPITALS) else "record"


def _who(line: pd.Series) -> str:
    return "patient" if _unit(line) == "record" else "hospital"


def _audited(line: pd.Series) -> str:
    if _unit(line) == "hospital":
        return "audited with the federation"
    if pd.isna(line["epsilon_lower_bound"]):
        return "not audited (Opacus' steps are not run by the audit)"
    normal = line["epsilon_gaussian"]
    also = "" if pd.isna(normal) else f"; {normal:.3f} if the noise is normal"
    return (
        f"audited, every noisy gradient seen: at least {line['epsilon_lower_bound']:.3f} (it could "
        f"show {line['epsilon_ceiling']:.2f} at most){also}; {line['epsilon_counts']:.3f} if "
        "nothing is known of the mechanism (95 % each)"
    )


def _headlines(table: pd.DataFrame, groups: pd.DataFrame, context: Context) -> pd.DataFrame:
    """A row per defense: its strongest attack, and whom it exposes most."""
    lines = table[table["attack"] == STRONGEST].reset_index(drop=True)
    exposed = groups[groups["group"] == MOST].set_index("defense").reindex(lines["defense"])
    named = groups[groups["group"] != MOST].drop_duplicates("defense").set_index("defense")
    worst = named.reindex(lines["defense"])
    group = worst["by"] + " " + worst["group"] + ": "
    return pd.DataFrame(
        {
            "defense": [context.display(name) for name in lines["defense"]],
            "strongest attack": lines["variant"],
            "AUROC": with_interval(lines, "auroc"),
            "TPR at 1 % FPR": with_interval(lines, "tpr_at_1pct"),
            f"exposure, {MOST}": with_interval(exposed, "exposure"),
            "exposure, worst group": [
                f"{name}{mean}" if isinstance(name, str) else mean
                for name, mean in zip(group, with_interval(worst, "exposure"), strict=True)
            ],
        }
    )


def _attacks(table: pd.DataFrame, context: Context) -> pd.DataFrame:
    """A row per defense and attack: what it sees, and how well it tells members."""
    return pd.DataFrame(
        {
            "defense": [context.display(name) for name in table["defense"]],
            "attack": table["attack"],
            "sees": table["access"],
            "AUROC": with_interval(table, "auroc"),
            "TPR at 1 % FPR": with_interval(table, "tpr_at_1pct"),
            "TPR at 0.1 % FPR": with_interval(table, "tpr_at_01pct"),
        }
    )


def _others(table: pd.DataFrame, context: Context) -> pd.DataFrame:
    """A row per defense: what an attacker could start from."""
    lines = table[table["attack"] == STRONGEST]
    return pd.DataFrame(
        {
            "defense": [context.display(name) for name in lines["defense"]],
            "advantage of the strongest": lines["advantage"].map("{:.3f}".format),
            "AUROC without a model": lines["auroc_control"].map("{:.3f}".format),
            "accuracy on members": lines["train_accuracy"].map("{:.3f}".format),
            "on others": lines["test_accuracy"].map("{:.3f}".format),
            "gap": lines["gap"].map("{:.3f}".format),
        }
    )


def _groups(table: pd.DataFrame, context: Context) -> pd.DataFrame:
    """A row per group, the worst first; a column per defense."""
    shown = table.assign(
        exposure=with_interval(table, "exposure"),
        group=table["by"] + ": " + table["group"],
        told=as_told(table["patients"]),
    )
    worst_first = table.assign(group=shown["group"]).sort_values(
        "exposure", ascending=False, kind="stable"
    )
    order = list(worst_first["group"].unique())
    wide = shown.pivot(index="group", columns="defense", values="exposure").loc[order]
    names = list(dict.fromkeys(table["defense"]))
    wide = wide[names].rename(columns={name: context.display(name) for name in names})
    # the most exposed are others with each defense, and not always as many
    counts = [range_of(shown.loc[shown["group"] == group, "told"]) for group in order]
    return wide.reset_index().rename_axis(columns=None).assign(patients=counts)
