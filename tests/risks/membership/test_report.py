"""What people read about privacy: every table, one picture, and a claim beside what was shown."""

from dataclasses import replace

import pytest
import yaml

import tiny
from pipeline import params
from pipeline.risks.membership.report import draw_privacy, privacy_report, privacy_section
from risks.membership.made_up import made_up_leak

DATA = tiny.records(80, seed=2)


@pytest.fixture(scope="module")
def report(smoke_text):
    cfg = params.parse(yaml.safe_load(smoke_text), "conf")
    leak = made_up_leak(DATA, targets=20, effect=1.0)
    claim = {
        "epsilon": 3.0,
        "delta": 1e-4,
        "accounts": {"pld": 2.9},
        "audit": {"epsilon_lower_bound": 0.4, "ceiling": 3.8},
    }
    private = replace(leak, claim=claim)
    return privacy_report({"baseline": leak, "<i>dp</i>": private}, DATA, cfg)


def test_the_tables(report):
    assert list(report.tables) == [
        "privacy",
        "exposed",
        "subgroups",
        "inversion",
        "typical",
        "plots/membership_roc",
    ]
    assert len(report.exposure) == 2 * 80
    assert report.tables["exposed"]["most_exposed"].all()
    assert report.tables["exposed"].groupby("defense", sort=False).size().tolist() == [1, 1]


def test_the_page_shows_the_claim_beside_the_audit_and_what_it_leaves_out(report, tmp_path):
    section = privacy_section(report, draw_privacy(report, tmp_path))
    for text in (
        "claims epsilon 3.000",
        "recomputed: 2.900",
        "at least 0.400",
        "3.80 at most",
        "Not covered:",
        "hyper-parameters",
    ):
        assert text in section
    assert section.count("claims epsilon") == 1
    assert "data:image/png;base64," in section
    assert "<i>dp</i>" not in section


def test_what_cannot_be_said_is_a_dash(report):
    assert report.tables["privacy"]["tpr_at_01pct"].isna().all()
    assert "<td>-</td>" in privacy_section(report, [])
