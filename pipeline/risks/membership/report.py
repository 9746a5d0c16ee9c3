"""What the page says of privacy: who can be recognised, how often, and what is claimed beside what is shown."""

import html
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import pandas as pd

from pipeline.attacks.membership import NEEDS_SHADOWS
from pipeline.config import Config
from pipeline.data.schema import Dataset
from pipeline.parallel import share_out
from pipeline.presentation.html import by_defense, html_table, picture
from pipeline.presentation.numbers import with_interval
from pipeline.presentation.pictures import COLOURS, axes_of, save_figure
from pipeline.risks.inversion.report import inversion_section
from pipeline.risks.inversion.tables import inversion_table, typical_table
from pipeline.risks.membership.measure.shadows import BLIND, Leakage
from pipeline.risks.membership.tables import exposure, membership_table, roc_table, subgroups


@dataclass(frozen=True)
class PrivacyReport:
    """Tables by file name, and one row per defence and patient."""

    tables: dict[str, pd.DataFrame]
    exposure: pd.DataFrame


def privacy_report(leaks: Mapping[str, Leakage], dataset: Dataset, cfg: Config) -> PrivacyReport:
    """Draws up every table about privacy: `privacy, exposed, subgroups, inversion, typical`, and `plots/membership_roc`."""
    each = {name: exposure(leak, dataset) for name, leak in leaks.items()}
    everyone = by_defense(each)
    told = {name: leak.told for name, leak in leaks.items()}
    exposed = everyone[everyone["most_exposed"]].sort_values("exposure", ascending=False, kind="stable")
    privacy = share_out(membership_table, [({name: leak}, cfg.audit, cfg.seed) for name, leak in leaks.items()])
    tables = {
        "privacy": pd.concat(privacy, ignore_index=True),
        "exposed": pd.concat([exposed[exposed["defense"] == name] for name in each]),
        "subgroups": subgroups(each, cfg.data, cfg.audit, cfg.seed),
        "inversion": inversion_table(told, dataset, cfg.audit, cfg.seed),
        "typical": typical_table(told, dataset),
        "plots/membership_roc": roc_table(leaks),
    }
    return PrivacyReport(tables, everyone)


def draw_privacy(report: PrivacyReport, folder: Path) -> list[Path]:
    """One log-log ROC per defence: at the left end few are accused wrongly, and that is where an attack hurts."""
    curves = report.tables["plots/membership_roc"]
    defenses = list(curves["defense"].unique())
    figure, axes = axes_of(1, len(defenses), (3.4 * len(defenses), 3.6))
    for axis, (defense, of_defense) in zip(axes, curves.groupby("defense", sort=False), strict=True):
        for colour, (attack, curve) in zip(cycle(COLOURS), of_defense.groupby("attack", sort=False), strict=False):
            style = ":" if attack == BLIND else "-" if NEEDS_SHADOWS[str(attack)] else "-."  # more attacks than colours
            axis.plot(curve["fpr"], curve["tpr"], style, color=colour, linewidth=1, label=str(attack))
        least = float(curves["fpr"].min())
        axis.plot([least, 1], [least, 1], "--", color="#999999", linewidth=0.8)
        axis.set(xscale="log", yscale="log", xlim=(least, 1), ylim=(least, 1), title=str(defense), xlabel="false-positive rate")
    axes[0].set_ylabel("members found")
    axes[-1].legend(frameon=False, fontsize=7, loc="lower right")
    figure.suptitle("membership inference, all targets together (dashed: guessing)", fontsize=10)
    return [save_figure(figure, folder / "membership_roc.png")]


def privacy_section(report: PrivacyReport, figures: list[Path]) -> str:
    """The section of the page."""
    table = report.tables["privacy"]
    first = table.iloc[0]
    claimed = table.drop_duplicates("defense").dropna(subset="epsilon_claimed")
    claims = "".join(f"<li>{_claim(line)}</li>" for _, line in claimed.iterrows())
    return f"""<h2>Who can tell that a patient was in the training set</h2>
<p class="note">Membership inference on {first["targets"]} models of each recipe, each trained on its own random half of the
cohort and attacked with the others as shadow models. AUROC 0.5 is guessing. "found at 1 %": the share of members that are
recognised while 1 % of the others are taken for members. Intervals: bootstrap over patients. {BLIND}: a control that sees no
model.</p>
{html_table(_shown(table))}
<ul class="note">{claims}</ul>
{"".join(map(picture, figures))}
<h3>Whose data show most</h3>
<p class="note">exposure: how well models that trained on a patient can be told from the others by their answer to that patient
(AUROC over models), mean of the group. The most exposed patients stand in exposed.csv.</p>
{html_table(_groups(report.tables["subgroups"]))}
{inversion_section(report.tables["inversion"], report.tables["typical"])}"""


def _claim(line: pd.Series) -> str:
    """What is claimed, what was recomputed, what an audit shows, and what none of them covers."""
    return (
        f"<b>{html.escape(str(line['defense']))}</b>: claims epsilon {line['epsilon_claimed']:.3f} at delta {line['delta']:g} "
        f"for one model's weights, one record added or removed; recomputed: {line['epsilon_recomputed']:.3f}; audited: at least "
        f"{line['epsilon_lower_bound']:.3f} (it could show {line['epsilon_ceiling']:.2f} at most). Not covered: "
        "the choice of hyper-parameters, of a checkpoint or a threshold; this page's figures; readers who know the noise's seed."
    )


def _shown(table: pd.DataFrame) -> pd.DataFrame:
    shown = pd.DataFrame({
        "defence": table["defense"], "attack": table["attack"], "sees": table["access"],
        "AUROC": with_interval(table, "auroc"), "advantage": table["advantage"].map("{:.3f}".format),
        "found at 1 %": with_interval(table, "tpr_at_1pct"), "found at 0.1 %": with_interval(table, "tpr_at_01pct"),
        "accuracy on members": table["train_accuracy"].map("{:.3f}".format),
        "on others": table["test_accuracy"].map("{:.3f}".format), "gap": table["gap"].map("{:.3f}".format),
    })  # fmt: skip
    return shown


def _groups(table: pd.DataFrame) -> pd.DataFrame:
    shown = table.assign(exposure=with_interval(table, "exposure"), group=table["by"] + ": " + table["group"])
    wide = shown.pivot(index=["group", "patients"], columns="defense", values="exposure")
    order = shown.drop_duplicates("group").set_index(["group", "patients"]).index
    return wide.loc[order, list(dict.fromkeys(table["defense"]))].reset_index().rename_axis(columns=None)
