"""What people read: every table, every picture and the page, the same bytes for the same tables, flags always visible."""

import json
import re
import shutil
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml

from pipeline import params
from pipeline.presentation.pictures import display_name
from pipeline.report import write
from pipeline.report.page import page
from pipeline.report.write import print_summary, read_comparison, summary, write_evaluation
from pipeline.risks.evasion.measure.examination import TRANSFER, Findings
from pipeline.risks.evasion.patients import Clinic, clinic_tables
from pipeline.risks.evasion.report import confusion_matrices, robustness, roc_curves
from pipeline.risks.evasion.tables import evaluate_audits
from pipeline.verify.out_of_fold import verdicts
from risks.evasion.made_up import CFG, EPS, model, proof_of, rows
from risks.membership.made_up import made_up_leak
from risks.poisoning.made_up import CERTIFICATE
from tiny import records

TABLES = ("comparison", "attacks", "fragile", "alone", "classification", "confusion")
PICTURES = [
    "robustness_clinical",
    "robustness_unconstrained",
    "roc",
    "confusion",
    "membership_roc",
    "certificate",
]
HOSTILE = "<script>alert('x')</script> & \"co\""
NAMES = ["baseline", "adv_train", "distill"]
LABELS = {"baseline": "baseline", "adv_train": "adv_train", "distill": "distill [masked gradients]"}


NO_PATIENTS, NO_THREATS = Clinic({}, {}), pd.DataFrame()


@pytest.fixture(scope="module")
def data():
    return records(150, seed=0)


@pytest.fixture(scope="module")
def audits(data):
    """Three defences under two threats, one of them decided; `distill` masks its gradients."""
    y = data.y.numpy()
    strong = {
        name: model(1.2, y, loss=loss, seed=seed)
        for seed, (name, loss) in enumerate(zip(NAMES, (2.0, 0.5, 0.2), strict=True))
    }
    strong["distill"][TRANSFER] = (
        strong["distill"]["fgsm"] - np.array([0.0, 2.0, 3.0])[:, None, None]
    )
    threats = ("clinical", "unconstrained")
    return {
        name: Findings(
            pd.concat([rows(margins, y, threat=threat) for threat in threats], ignore_index=True),
            {
                "clinical": proof_of(margins, data),
                "unconstrained": proof_of(margins, data, sure=0.1),
            },
            {},
        )
        for name, margins in strong.items()
    }


@pytest.fixture(scope="module")
def cfg(smoke_text):
    return params.parse(yaml.safe_load(smoke_text), "conf").model_copy(update={"audit": CFG})


def leaks_of(data):
    return {name: made_up_leak(data, targets=20, effect=0.5) for name in NAMES}


@pytest.fixture
def hostile(cfg):
    """Whoever writes the data conf writes into the page."""
    features = {HOSTILE: cfg.data.features["glucose"].model_copy(update={"unit": HOSTILE})}
    data = cfg.data.model_copy(
        update={"title": HOSTILE, "classes": [HOSTILE, "<b>ill</b>"], "features": features}
    )
    return cfg.model_copy(update={"data": data})


@pytest.fixture(scope="module")
def evaluation(audits, cfg):
    return evaluate_audits(audits, cfg)


@pytest.fixture
def comparison(evaluation):
    return evaluation.comparison.copy()


@pytest.fixture(scope="module")
def written(evaluation, data, cfg, tmp_path_factory):
    place = tmp_path_factory.mktemp("evaluate")
    write_evaluation(evaluation, leaks_of(data), data, cfg, place, {"certificate": CERTIFICATE})
    return place


# ---- files ----


def test_every_table_picture_row_and_the_page_are_written(written):
    files = {path.relative_to(written).as_posix() for path in written.rglob("*") if path.is_file()}
    privacy = ("privacy", "exposed", "subgroups", "inversion", "typical", "plots/membership_roc")
    expected = {f"{name}.csv" for name in (*TABLES, "overview", "certificate", *privacy)}
    expected |= {"patients.parquet", "exposure.parquet"}
    expected |= {f"{place}/{name}.parquet" for place in ("rows", "verdicts") for name in NAMES}
    expected |= (
        {"plots/robustness.csv", "plots/roc.csv"}
        | {f"plots/{name}.png" for name in PICTURES}
        | {"metrics.json", "report.html"}
    )
    assert expected == files


def test_the_tables_read_back_as_they_were(written, evaluation, audits):
    for name in ("attacks", "classification", "confusion"):
        read = pd.read_csv(written / f"{name}.csv")
        table = getattr(evaluation, name)
        assert list(read) == list(table)
        numbers = table.select_dtypes("float").columns
        np.testing.assert_allclose(read[numbers], table[numbers], rtol=1e-5)
    headline = evaluation.comparison[evaluation.comparison["threat"] == "clinical"]
    for file, table, x, y in (
        ("robustness", headline, "eps", "robust_accuracy"),
        ("roc", evaluation.roc, "fpr", "tpr"),
    ):
        curves = pd.read_csv(written / "plots" / f"{file}.csv")
        assert set(curves) == {x, *NAMES}
        for name in NAMES:
            np.testing.assert_allclose(
                curves[[x, name]], table.loc[table["defense"] == name, [x, y]], rtol=1e-5
            )
    for name, findings in audits.items():
        pd.testing.assert_frame_equal(
            pd.read_parquet(written / "rows" / f"{name}.parquet"), findings.rows
        )
        pd.testing.assert_frame_equal(
            pd.read_parquet(written / "verdicts" / f"{name}.parquet"), verdicts(findings.verified)
        )


def test_the_tables_of_patients_are_those_of_every_defence(written, audits, data, cfg):
    clinic = clinic_tables(audits, data, cfg)
    read = pd.read_parquet(written / "patients.parquet")
    assert read["defense"].value_counts(sort=False).to_dict() == dict.fromkeys(NAMES, len(data.y))
    for name in NAMES:
        mine = read[read["defense"] == name].drop(columns="defense").reset_index(drop=True)
        pd.testing.assert_frame_equal(mine, clinic.patients[name])
    assert list(pd.read_csv(written / "alone.csv")["defense"]) == [
        name for name in NAMES for _ in data.schema.names
    ]
    assert set(pd.read_csv(written / "fragile.csv")["defense"]) == set(NAMES)


def test_the_metrics_name_every_defence_and_radius(written):
    figures = json.loads((written / "metrics.json").read_text())
    assert list(figures) == NAMES
    for of_defense in figures.values():
        assert {f"robust_accuracy_at_{eps:g}" for eps in EPS[1:]} < of_defense.keys()


def test_the_same_evaluation_is_the_same_bytes_pictures_included(
    written, evaluation, data, cfg, tmp_path_factory
):
    again = tmp_path_factory.mktemp("again")
    write_evaluation(evaluation, leaks_of(data), data, cfg, again, {"certificate": CERTIFICATE})
    for path in written.rglob("*"):
        if path.is_file():
            assert (again / path.relative_to(written)).read_bytes() == path.read_bytes(), path.name


# ---- pictures ----

UNPROVED = pd.DataFrame(columns=["defense", "threat", "eps", "proved"])


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_a_png_that_does_not_say_what_drew_it(written, name):
    content = (written / "plots" / f"{name}.png").read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert b"matplotlib" not in content.lower()


def test_another_table_is_another_picture(comparison, tmp_path):
    robustness(comparison, UNPROVED, "clinical").savefig(tmp_path / "a.png")
    comparison["robust_accuracy"] *= 0.9
    robustness(comparison, UNPROVED, "clinical").savefig(tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()


def test_the_curves_are_the_tables(comparison):
    axis = robustness(comparison, UNPROVED, "clinical").axes[0]
    for name, curve in zip(NAMES, axis.lines, strict=True):
        lines = comparison[(comparison["defense"] == name) & (comparison["threat"] == "clinical")]
        np.testing.assert_array_equal(curve.get_xdata(), lines["eps"])
        np.testing.assert_array_equal(curve.get_ydata(), lines["robust_accuracy"])


def test_what_is_proved_is_a_dotted_line_of_its_own(comparison):
    proofs = pd.DataFrame(
        {
            "defense": NAMES[0],
            "threat": "clinical",
            "eps": [0.0, 0.2, 0.4],
            "proved": [0.8, 0.7, 0.3],
        }
    )
    elsewhere = proofs.assign(threat="unconstrained")
    axis = robustness(comparison, pd.concat([proofs, elsewhere]), "clinical").axes[0]
    dotted = [line for line in axis.lines if line.get_linestyle() == ":"]
    assert len(axis.lines) == len(NAMES) + 1
    assert [list(line.get_ydata()) for line in dotted] == [[0.8, 0.7, 0.3]]


def test_every_one_of_many_defences_is_drawn(comparison, evaluation):
    many = [f"defence{number}" for number in range(9)]
    one = comparison[comparison["defense"] == "baseline"]
    curve = evaluation.roc[evaluation.roc["defense"] == "baseline"]
    table = pd.concat([one.assign(defense=name) for name in many])
    assert len(robustness(table, UNPROVED, "clinical").axes[0].lines) == len(many)
    roc = pd.concat([curve.assign(defense=name) for name in many])
    assert len(roc_curves(roc, table).axes[0].lines) == len(many) + 1  # and the diagonal


@pytest.mark.parametrize(
    ("flags", "label"),
    [
        ("", "distill"),
        ("masked_gradients", "distill [masked gradients]"),
        ("degenerate suspected_leak", "distill [degenerate, suspected leak]"),
        ("catastrophic_overfitting", "distill [catastrophic overfitting]"),
        ("new_flag", "distill [new_flag]"),
    ],
)
def test_display_name(flags, label):
    assert display_name("distill", flags) == label


@pytest.mark.parametrize("picture", ["robustness", "roc", "confusion"])
def test_a_flag_stands_beside_the_name_in_every_picture(evaluation, comparison, picture):
    figure = {
        "robustness": lambda: robustness(comparison, UNPROVED, "clinical"),
        "roc": lambda: roc_curves(evaluation.roc, comparison),
        "confusion": lambda: confusion_matrices(evaluation.confusion, comparison, "clinical"),
    }[picture]()
    legends = [
        text.get_text()
        for axis in figure.axes
        if axis.get_legend()
        for text in axis.get_legend().get_texts()
    ]
    named = [
        text for text in [axis.get_title() for axis in figure.axes] + legends if "distill" in text
    ]
    assert named
    assert all("masked" in text for text in named)


# ---- the summary on the terminal ----


def test_the_summary_prints_every_defence_with_its_flag_beside_its_name(comparison):
    lines = summary(comparison, "clinical").splitlines()
    for label in LABELS.values():
        assert [line.startswith(f"{label} ") for line in lines].count(True) == 1
    assert len(lines) == 1 + len(NAMES) * len(EPS)


def test_the_summary_prints_the_headline_threat_with_intervals(comparison):
    comparison.loc[comparison["threat"] == "unconstrained", "robust_accuracy"] = 7.777
    text = summary(comparison, "clinical")
    assert "7.777" not in text
    first = comparison.iloc[0]
    assert (
        f"{first['robust_accuracy']:.3f} ({first['robust_low']:.3f} to {first['robust_high']:.3f})"
        in text
    )
    assert len(re.findall(r"\d\.\d{3} \(\d\.\d{3} to \d\.\d{3}\)", text)) == 4 * len(NAMES) * len(
        EPS
    )
    assert len(re.findall(r"[+-]\d\.\d{3} \([+-]\d\.\d{3} to [+-]\d\.\d{3}\)", text)) == 2 * len(
        EPS
    )


def test_the_comparison_reads_back_as_it_was(written, comparison):
    read = read_comparison(written)
    pd.testing.assert_frame_equal(read, comparison, rtol=1e-5, check_dtype=False)
    assert summary(read, "clinical") == summary(comparison, "clinical")


def test_a_table_without_any_flag_reads_back_too(comparison, tmp_path):
    comparison.assign(flags="", rank=1).to_csv(tmp_path / "comparison.csv", index=False)
    read = read_comparison(tmp_path)
    assert read["flags"].tolist() == [""] * len(comparison)
    assert "[" not in summary(read, "clinical")


def test_the_summary_does_without_a_baseline(comparison):
    alone = comparison[comparison["defense"] == "distill"]
    alone = alone[[column for column in alone if not column.startswith("difference")]]
    assert summary(alone, "clinical").count("\n") == len(EPS)


def test_print_summary_says_what_it_shows_and_where_the_rest_lies(
    comparison, written, tmp_path, capsys
):
    threats = pd.read_csv(written / "overview.csv")
    print_summary(comparison, threats, "clinical", tmp_path)
    out = capsys.readouterr().out
    assert summary(comparison, "clinical") in out
    for risk in ("evasion", "membership", "inversion"):
        assert len([line for line in out.splitlines() if line.startswith(f"{risk} ")]) == 1
    assert "threat model: clinical" in out
    assert str(tmp_path / "report.html") in out


# ---- the page ----


@pytest.fixture
def html(written):
    return (written / "report.html").read_text(encoding="utf-8")


def test_the_page_is_self_contained(html):
    assert html.startswith("<!doctype html>")
    assert html.count("<img ") == html.count('src="data:image/png;base64,') == len(PICTURES)
    assert not re.findall(r"https?://|<script|<link|@import|url\(", html)
    assert str(CFG.confidence * 100)[:2] + "%" in html


def test_every_chapter_is_linked_to(html):
    titles = re.findall(r'<h2 id="(chapter\d+)">(.*?)</h2>', html)
    assert len(titles) == html.count("<h2") > 5
    assert re.findall(r'<a href="#(chapter\d+)">(.*?)</a>', html) == titles


def test_the_page_names_every_defence_with_its_flag_and_rank(html, comparison):
    ranks = comparison.drop_duplicates("defense").set_index("defense")["rank"]
    for name, label in LABELS.items():
        assert (
            f"{label}, rank {ranks[name]}" if name != "distill" else f"{label}, not ranked"
        ) in html
    assert sorted(ranks.dropna()) == [1, 2]
    figures, attacks, classes_at_two_radii = 2 * len(EPS), 4, 2 * 2
    assert html.count(f"<td>{LABELS['distill']}</td>") == figures + attacks + classes_at_two_radii
    assert f"<h3>{LABELS['distill']}</h3>" in html


def test_the_page_says_why_a_defence_is_flagged(html, comparison):
    why = comparison.loc[comparison["defense"] == "distill", "evidence"].iloc[0]
    assert why.startswith("clinical, eps ")
    assert f"<li><b>{LABELS['distill']}</b>: {why}</li>" in html
    assert html.count("<li>") == 1


def test_the_page_of_honest_defences_has_no_reasons(evaluation, cfg, comparison):
    honest = replace(evaluation, comparison=comparison[comparison["flags"] == ""])
    text = page(honest, NO_PATIENTS, cfg, [], NO_THREATS, "")
    assert "<ul" not in text


def test_the_page_says_what_its_numbers_are(html, cfg):
    for said in (
        "no record within the radius is known",
        "it is proved that there is none",
        "bootstrap over patients",
        "did not train on",
        "not for clinical use",
    ):
        assert said in re.sub(r"\s+", " ", html)
    glucose = html[html.index("glucose, mg/dL") :].split("</tr>")[0]
    assert "<td>3 (3)</td>" in glucose  # eps 0.1
    assert "<td>15 (15)</td>" in glucose  # eps 0.5
    assert cfg.data.features["glucose"].error_source in glucose  # nothing shortened
    assert f"({cfg.plan.folds} folds x {cfg.plan.seeds} seeds)" in re.sub(r"\s+", " ", html)


def test_the_page_says_what_is_proved_and_what_is_left_undecided(html, comparison):
    headline, other = (
        part.split("</h2>", 1)[1] for part in re.split(r"(?=<h2[^>]*>Under)", html)[1:]
    )
    assert headline.split("<h2")[0].count("<td>exact</td>") == len(NAMES) * len(EPS)
    lines = comparison[(comparison["threat"] == "unconstrained") & (comparison["undecided"] > 0)]
    assert len(lines)
    for _, line in lines.iterrows():
        assert (
            f"<td>{line['verified_accuracy']:.3f}, undecided {line['undecided']:.3f}</td>" in other
        )


def test_the_page_lists_the_attacks_in_the_order_of_the_audit_and_the_radii_in_theirs(
    evaluation, cfg
):
    """As numbers: 10 comes after 2."""
    larger = {0.0: 0.0, 0.1: 2.0, 0.5: 10.0}
    text = page(
        replace(evaluation, attacks=evaluation.attacks.replace({"eps": larger})),
        NO_PATIENTS,
        cfg,
        [],
        NO_THREATS,
        "",
    )
    table = re.split(r"<h2[^>]*>", text.split(">What each attack leaves")[2])[0]
    assert re.findall(r"<th>(.*?)</th>", table)[:5] == [
        "defence",
        "attack",
        "eps 0",
        "eps 2",
        "eps 10",
    ]
    attacks = [
        cells[1]
        for cells in (re.findall(r"<td>(.*?)</td>", row) for row in table.split("<tr>"))
        if cells
    ]
    assert attacks == [*["fgsm", "pgd_ce", "pgd_margin"] * 3, TRANSFER]


def test_a_hostile_configuration_is_escaped(evaluation, hostile):
    renamed = evaluation.classification.replace({"diabetes": HOSTILE})
    text = page(
        replace(evaluation, classification=renamed), NO_PATIENTS, hostile, [], NO_THREATS, ""
    )
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "<b>ill" not in text


def test_a_hostile_name_of_a_defence_is_escaped(evaluation, cfg, comparison):
    comparison["evidence"] = comparison["evidence"].where(comparison["evidence"] == "", HOSTILE)
    comparison["defense"] = comparison["defense"].replace({"distill": HOSTILE})
    attacks = evaluation.attacks.replace({"distill": HOSTILE})
    text = page(
        replace(evaluation, comparison=comparison, attacks=attacks),
        NO_PATIENTS,
        cfg,
        [],
        NO_THREATS,
        "",
    )
    assert "<script" not in text


# ---- the command ----


def test_the_command_prints_the_last_evaluation(
    written, comparison, tmp_path, monkeypatch, capsys, smoke_text
):
    (tmp_path / "artifacts").mkdir()
    shutil.copytree(written, tmp_path / "artifacts" / "evaluate")
    (tmp_path / "params.yaml").write_text(smoke_text)
    monkeypatch.chdir(tmp_path)
    write.main()
    assert summary(comparison, "clinical") in capsys.readouterr().out


@pytest.mark.parametrize("lacking", ["comparison.csv", "params.yaml"])
def test_the_command_says_what_is_missing(tmp_path, monkeypatch, capsys, smoke_text, lacking):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["report"])
    if lacking != "params.yaml":
        (tmp_path / "params.yaml").write_text(smoke_text)
    with pytest.raises(SystemExit) as caught:
        write.main()
    out, err = capsys.readouterr()
    assert caught.value.code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert f"{lacking}: not found; run `" in err
