"""What is said of membership.

Who can be recognised, how often, and what is claimed beside what is shown.
"""

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import pandas as pd

from pipeline.attacks.membership import NEEDS_SHADOWS
from pipeline.presentation.chapter import (
    Chapter,
    Finding,
    Heading,
    Items,
    Note,
    Part,
    Picture,
    Table,
)
from pipeline.presentation.numbers import as_told, with_interval
from pipeline.presentation.pictures import COLOURS, axes_of, save_picture
from pipeline.risks.membership.measure.shadows import BLIND
from pipeline.risks.membership.patients import MOST
from pipeline.risks.membership.tables import STRONGEST
from pipeline.risks.risk import Context, Tables


def chapters(tables: Tables, context: Context, folder: Path) -> Sequence[Chapter]:
    """One chapter: every attack on every defense, what is claimed, and whose data show most."""
    if not len(tables.get("membership", ())):
        return ()
    table = tables["membership"]
    first = table.iloc[0]
    claimed = table.drop_duplicates("defense").dropna(subset="epsilon_claimed")
    parts: list[Part] = [
        Note(
            f"Membership inference on {first['targets']} models of each recipe, each trained on "
            f"its own random half of the {first['patients']} patients (about "
            f"{first['trained_on']:.0f} of them; a model of all patients remembers each of them "
            "less) and attacked with the others as shadow models. Each target is asked about "
            'every patient. AUROC 0.5 is guessing. "found at 1 %": the share of members that are '
            "recognised while 1 % of the others are taken for members. Intervals: bootstrap over "
            f"patients. {STRONGEST}: each half of the targets is attacked by what is strongest on "
            f"the other half. {BLIND}: a control that sees no model, so that nothing is found."
        ),
        Table(_headlines(table, tables["subgroups"])),
        Table(_shown(table)),
        Items([(str(line["defense"]), _claim(line)) for _, line in claimed.iterrows()]),
        draw(tables["plots/membership_roc"], folder),
        Heading("Whose data show most"),
        Note(
            "exposure: how well models that trained on a patient can be told from the others by "
            "their answer to that patient (AUROC over models; 0.5: not at all), mean of the group. "
            f"The worst group comes first. {MOST}: chosen by one half of the models, measured by "
            "the other. The most exposed patients stand in exposed.csv."
        ),
        Table(_groups(tables["subgroups"])),
    ]
    return (Chapter("Who can tell that a patient was in the training set", parts),)


def draw(curves: pd.DataFrame, folder: Path) -> Picture:
    """One log-log ROC per defense.

    At the left end few are accused wrongly, and that is where an attack hurts.
    """
    defenses = list(curves["defense"].unique())
    figure, axes = axes_of(1, len(defenses), (3.4 * len(defenses), 3.6))
    for axis, (defense, of_defense) in zip(
        axes, curves.groupby("defense", sort=False), strict=True
    ):
        for colour, (attack, curve) in zip(
            cycle(COLOURS), of_defense.groupby("attack", sort=False), strict=False
        ):
            # more attacks than colours
            style = ":" if attack == BLIND else "-" if NEEDS_SHADOWS[str(attack)] else "-."
            axis.plot(
                curve["fpr"], curve["tpr"], style, color=colour, linewidth=1, label=str(attack)
            )
        least = float(curves["fpr"].min())
        axis.plot([least, 1], [least, 1], "--", color="#767676", linewidth=0.8)
        axis.set(
            xscale="log",
            yscale="log",
            xlim=(least, 1),
            ylim=(least, 1),
            title=str(defense),
            xlabel="false-positive rate",
        )
    axes[0].set_ylabel("members found")
    axes[-1].legend(frameon=False, fontsize=7, loc="lower right")
    figure.suptitle("membership inference, all targets together (dashed: guessing)", fontsize=10)
    return save_picture(
        figure,
        folder / "membership_roc.svg",
        "Membership inference, ROC",
        "log-log ROC of every membership attack, a panel for each defense",
    )


def finding(tables: Tables, context: Context) -> Finding | None:
    """The worst that was found, in one sentence; None: nothing was measured."""
    return None


def cover(tables: Tables, context: Context, folder: Path) -> Picture | None:
    """Its picture for the first screen; None: it has none."""
    return None


def untested(tables: Tables, context: Context) -> Sequence[str]:
    """What a reader could take for tested, and was not."""
    return ()


def _claim(line: pd.Series) -> str:
    """What is claimed, recomputed, measured and audited, what it adds up to, what it leaves out."""
    return (
        f"claims epsilon {line['epsilon_claimed']:.3f} at delta {line['delta']:g} for one model's "
        f"weights, one record added or removed ({line['epsilon_replace_one']:.2f} if one is "
        f"replaced); {_of_a_patient(line)}recomputed: {line['epsilon_recomputed']:.3f}; "
        f"{_audited(line)}; noise as "
        f"measured in training: {line['noise_measured']:.3g} of what is claimed. All models of "
        f"this run together spend {line['epsilon_all']:.1f}, those that one patient takes part in "
        f"{line['epsilon_patient']:.1f}. Noise {line['noise_source']}. Not covered: the choice of "
        "hyper-parameters, of a checkpoint or a threshold; this page's figures; readers who know "
        "the noise's seed."
    )


def _of_a_patient(line: pd.Series) -> str:
    """What is claimed where a patient has several records: the claim itself is of one."""
    if pd.isna(line["epsilon_one_patient"]):
        return ""
    return (
        f"per patient (up to {line['records_of_a_patient']:.0f} records): epsilon "
        f"{line['epsilon_one_patient']:.3f}; "
    )


def _audited(line: pd.Series) -> str:
    if pd.isna(line["epsilon_lower_bound"]):
        return "not audited (Opacus' steps are not run by the audit)"
    normal = line["epsilon_gaussian"]
    also = "" if pd.isna(normal) else f"; {normal:.3f} if the noise is normal"
    return (
        f"audited, every noisy gradient seen: at least {line['epsilon_lower_bound']:.3f} (it could "
        f"show {line['epsilon_ceiling']:.2f} at most){also}; {line['epsilon_counts']:.3f} if "
        "nothing is known of the mechanism (95 % each)"
    )


def _headlines(table: pd.DataFrame, groups: pd.DataFrame) -> pd.DataFrame:
    """A row per defense: its strongest attack beside the control, and whom it exposes most."""
    lines = table[table["attack"] == STRONGEST].reset_index(drop=True)
    exposed = groups[groups["group"] == MOST].set_index("defense").reindex(lines["defense"])
    named = groups[groups["group"] != MOST].drop_duplicates("defense").set_index("defense")
    worst = named.reindex(lines["defense"])
    return pd.DataFrame(
        {
            "defense": lines["defense"],
            "strongest attack": lines["variant"],
            "AUROC": with_interval(lines, "auroc"),
            "found at 1 %": with_interval(lines, "tpr_at_1pct"),
            "AUROC without a model": lines["auroc_control"].map("{:.3f}".format),
            "targets": lines["targets"],
            f"exposure, {MOST}": with_interval(exposed, "exposure"),
            "worst group": (worst["by"] + ": " + worst["group"]).to_list(),
            "its exposure": with_interval(worst, "exposure"),
        }
    )


def _shown(table: pd.DataFrame) -> pd.DataFrame:
    shown = pd.DataFrame(
        {
            "defense": table["defense"],
            "attack": table["attack"],
            "sees": table["access"],
            "AUROC": with_interval(table, "auroc"),
            "advantage": table["advantage"].map("{:.3f}".format),
            "found at 1 %": with_interval(table, "tpr_at_1pct"),
            "found at 0.1 %": with_interval(table, "tpr_at_01pct"),
            "accuracy on members": table["train_accuracy"].map("{:.3f}".format),
            "on others": table["test_accuracy"].map("{:.3f}".format),
            "gap": table["gap"].map("{:.3f}".format),
        }
    )
    return shown


def _groups(table: pd.DataFrame) -> pd.DataFrame:
    shown = table.assign(
        exposure=with_interval(table, "exposure"),
        patients=as_told(table["patients"]),
        group=table["by"] + ": " + table["group"],
    )
    wide = shown.pivot(index=["group", "patients"], columns="defense", values="exposure")
    worst_first = table.assign(group=shown["group"], patients=shown["patients"]).sort_values(
        "exposure", ascending=False, kind="stable"
    )
    order = worst_first.drop_duplicates("group").set_index(["group", "patients"]).index
    return (
        wide.loc[order, list(dict.fromkeys(table["defense"]))]
        .reset_index()
        .rename_axis(columns=None)
    )
