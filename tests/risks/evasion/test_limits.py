"""What was not tested: each sentence stands exactly where it is true."""

from dataclasses import replace

import pytest

from pipeline.risks.evasion.limits import ALWAYS, MISSING, untested
from pipeline.risks.evasion.view import View


def changed(context, **threat):
    """The same, with every threat changed."""
    cfg = context.cfg
    threats = {name: one.model_copy(update=threat) for name, one in cfg.threat.items()}
    return replace(context, cfg=cfg.model_copy(update={"threat": threats}))


def said(tables, context):
    return untested(View(tables, context.cfg), context)


def test_a_sample_is_said_first(tables, context):
    sampled = {**tables, "comparison": tables["comparison"].assign(attacked=30, records=90)}
    first = said(sampled, context)[0]
    assert first == "Attacks and proofs are of a stratified sample of 30 of 90 records, not of all."
    assert not [one for one in said(tables, context) if "sample" in one]


def test_up_to_where_it_was_verified(tables, context):
    (found,) = [one for one in said(tables, context) if "verified beyond" in one]
    assert "Under the unconstrained threat nothing is verified beyond eps 0.3" in found
    all_ = {**tables, "comparison": tables["comparison"].assign(verified_to=1.0)}
    assert not [one for one in said(all_, context) if "verified beyond" in one]


@pytest.mark.parametrize(("norm", "words"), [("linf", "L1, L2, L0"), ("l2", "L1, L-infinity, L0")])
def test_the_norms_that_nobody_used(tables, context, norm, words):
    assert f"Evasion in {words}." in said(tables, changed(context, norm=norm))


def test_missing_values_are_named_unless_a_threat_withholds(tables, context):
    assert MISSING in said(tables, context)
    assert MISSING not in said(tables, changed(context, withhold=0.5))


def test_records_that_lack_a_value_are_counted_unless_they_are_few(tables, context):
    x = context.dataset.x
    lacks = int(x[:, :3].isnan().any(1).sum())
    told = [one for one in said(tables, context) if "lack a measurement" in one]
    assert bool(told) == bool(lacks)
    if lacks:
        assert told[0].startswith(f"{lacks} of {len(x)} records")
    one = x.clone().nan_to_num(1.0)
    one[0, 0] = float("nan")
    few = replace(context, dataset=replace(context.dataset, x=one))
    hidden = few.cfg.model_copy(
        update={"report": few.cfg.report.model_copy(update={"patients": "hidden"})}
    )
    assert any(text.startswith("1 of ") for text in said(tables, few))
    assert any(text.startswith("Some records") for text in said(tables, replace(few, cfg=hidden)))


def test_what_no_audit_tests_is_always_said(tables, context):
    assert set(ALWAYS) <= set(said(tables, context))
