"""Transport in the overview and in MLflow: means, spreads, no name of a site."""

import pandas as pd

from pipeline.risks.transport.risk import RISK

FIGURES = ["auroc", "accuracy", "sensitivity"]


def table():
    lines = []
    for defense in ("baseline", "hard"):
        for tried, place in (
            ("cross-validation", ""),
            ("site", "site north"),
            ("later", "from 9 on"),
        ):
            for figure in FIGURES:
                value = {"cross-validation": 0.8, "site": 0.7, "later": 0.6}[tried]
                bad = defense == "hard" and tried == "site"
                lines.append(
                    {
                        "defense": defense,
                        "tried": tried,
                        "place": place,
                        "figure": figure,
                        "patients": 40,
                        "value": value,
                        "value_low": value - 0.1,
                        "value_high": value + 0.1,
                        "difference": value - 0.8 if tried != "cross-validation" else None,
                        "verdict": "worse" if bad else "not told apart",
                    }
                )
    return pd.DataFrame(lines)


SPREAD = pd.DataFrame(
    {
        "defense": ["baseline", "hard"],
        "figure": "auroc",
        "sites": 4,
        "mean": [0.7, 0.71],
        "mean_low": 0.6,
        "mean_high": 0.8,
        "between": 0.05,
        "between_low": 0.0,
        "between_high": 0.2,
    }
)
TABLES = {"transport": table(), "transport_spread": SPREAD}


def test_the_overview_has_a_line_for_sites_and_one_for_later_days(cfg):
    sites, later = RISK.headline(TABLES, cfg)
    assert sites.figure == "AUROC at a site not learned from, mean over 4"
    assert sites.table.loc["hard"].tolist() == [0.71, 0.6, 0.8]
    assert later.figure == "AUROC from 9 on, learned before"
    assert later.table.loc["baseline", "value"] == 0.6
    assert sites.good == later.good == "high"
    assert (sites.among, later.among) == ("4 sites", "40 patients")
    assert sites.threat == later.threat == ""  # nobody attacks
    few = TABLES["transport"].assign(patients=float("nan"))
    (_, unsaid) = RISK.headline({**TABLES, "transport": few}, cfg)
    assert unsaid.among == "not told patients"
    assert RISK.headline({}, cfg) == []
    timeless = TABLES["transport"][TABLES["transport"]["tried"] != "later"]
    assert RISK.headline({"transport": timeless}, cfg) == []


def test_metrics_name_no_site(cfg):
    assert RISK.metrics(TABLES, cfg)["hard"] == {"auroc_other_sites": 0.71, "auroc_later": 0.6}


def test_the_terminal_hears_of_the_worse_places_alone(cfg):
    said = "Worse elsewhere or later than cross-validation says: hard: site north."
    assert RISK.summary(TABLES, cfg) == said
    fine = table().assign(verdict="not told apart")
    assert RISK.summary({"transport": fine}, cfg) == ""
    assert RISK.summary({}, cfg) == ""
