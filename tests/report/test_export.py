"""What leaves the project: dated, to be signed, never over another file, no patient unasked."""

import json
import subprocess
from datetime import date

import jsonschema
import pytest

from pipeline.files import BadInput
from pipeline.report import export
from pipeline.report.export import Stamp, commit, export_report, stamp_now, stamped_page
from tiny import ROOT

SECRET = "glucose 148 → 147"
PAGE = '<!doctype html><html lang="en"><body><h1>Title</h1><p>{}</p></body></html>\n'
STAMP = Stamp("abc", "2027-01-31", "0.1.0", "0" * 64)


@pytest.fixture
def evaluation(tmp_path):
    """A folder of the stage: pages, a card, an audit without figures."""
    place = tmp_path / "evaluate"
    place.mkdir()
    pages = {
        "report.html": f"whole {SECRET}",
        "report_shared.html": "shared",
        "facts.html": "facts",
        "privacy.html": "privacy",
    }
    for name, text in pages.items():
        (place / name).write_text(PAGE.format(text), encoding="utf-8")
    (place / "card.md").write_text("# Card\n", encoding="utf-8")
    audit = {
        "use": "For research.",
        "audited": {
            "cohort": {"title": "Ward", "patients": 80, "ill": 40, "sha256": "0" * 64},
            "models": {"architecture": "mlp", "defenses": ["baseline"], "folds": 5, "seeds": 1},
            "threats": {"reviewed": True, "guessed": []},
            "confidence": 0.95,
            "patients": "shown",
            "configuration_sha256": "1" * 64,
        },
        "findings": [], "flags": [], "figures": [], "not_tested": [],
    }  # fmt: skip
    (place / "audit.json").write_text(json.dumps(audit), encoding="utf-8")
    schema = ROOT / "pipeline" / "report" / "audit.schema.json"
    (place / "audit.schema.json").write_text(schema.read_text(encoding="utf-8"), encoding="utf-8")
    (place / "chapters.json").write_text("[]", encoding="utf-8")
    return place


@pytest.fixture
def unpaged(monkeypatch):
    monkeypatch.setattr(export, "has_typst", lambda: False)


def files_in(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("cut", ["full", "facts", "privacy"])
def test_each_cut_is_written_with_date_commit_and_a_line_to_sign(evaluation, tmp_path, cut):
    pytest.importorskip("typst", reason="the extra pdf")
    before = files_in(evaluation)
    lines = export_report(evaluation, tmp_path / "out", cut, STAMP)
    name = export.NAMES[cut]
    written = files_in(tmp_path / "out")
    assert set(written) == {
        f"{name}.html", f"{name}.pdf", "audit.json", "audit.schema.json", "card.md",
    }  # fmt: skip
    assert len(lines) == len(written)
    page = written[f"{name}.html"].decode()
    for said in ("2027-01-31", "abc", "Signature", "_" * 24):
        assert said in page
        assert said in written["card.md"].decode()
    assert page.endswith("</section>\n</body></html>\n")
    assert written[f"{name}.pdf"].startswith(b"%PDF-")
    assert json.loads(written["audit.json"])["export"]["commit"] == "abc"
    assert files_in(evaluation) == before  # the stage's own files keep their bytes


def test_what_is_added_to_the_audit_is_in_its_schema(evaluation, tmp_path, unpaged):
    export_report(evaluation, tmp_path / "out", "full", STAMP)
    schema = json.loads((evaluation / "audit.schema.json").read_text(encoding="utf-8"))
    added = json.loads((tmp_path / "out" / "audit.json").read_text(encoding="utf-8"))["export"]
    own = {**schema["properties"]["export"], "$defs": schema["$defs"]}
    jsonschema.Draft202012Validator(own).validate(added)


def test_without_typst_the_rest_is_written_and_a_line_says_how_to_get_it(
    evaluation, tmp_path, unpaged
):
    lines = export_report(evaluation, tmp_path / "out", "full", STAMP)
    assert not (tmp_path / "out" / "report.pdf").exists()
    assert (tmp_path / "out" / "report.html").exists()
    assert lines[-1] == "No report.pdf: a PDF needs Typst: pip install 'medsecure[pdf]'"


def test_the_same_stamp_is_the_same_bytes_and_may_be_written_again(evaluation, tmp_path, unpaged):
    for _ in range(2):
        export_report(evaluation, tmp_path / "out", "full", STAMP)
    export_report(evaluation, tmp_path / "again", "full", STAMP)
    assert files_in(tmp_path / "out") == files_in(tmp_path / "again")


def test_another_file_is_never_replaced_unasked(evaluation, tmp_path, unpaged):
    out = tmp_path / "out"
    out.mkdir()
    (out / "card.md").write_text("mine", encoding="utf-8")
    (out / "other.txt").write_text("mine too", encoding="utf-8")
    with pytest.raises(BadInput, match=r"holds another card\.md"):
        export_report(evaluation, out, "full", STAMP)
    assert files_in(out) == {"card.md": b"mine", "other.txt": b"mine too"}  # all or none
    export_report(evaluation, out, "full", STAMP, overwrite=True)
    assert b"Dated and signed" in (out / "card.md").read_bytes()
    assert (out / "other.txt").read_bytes() == b"mine too"


# ---- patients ----


def test_single_patients_leave_only_when_they_are_asked_for(evaluation, tmp_path, unpaged):
    export_report(evaluation, tmp_path / "hidden", "full", STAMP)
    export_report(evaluation, tmp_path / "shown", "full", STAMP, patients=True)
    assert not any(SECRET.encode() in text for text in files_in(tmp_path / "hidden").values())
    holds = [n for n, text in files_in(tmp_path / "shown").items() if SECRET.encode() in text]
    assert holds == ["report.html"]


@pytest.mark.parametrize(("cut", "patients"), [("facts", "shown"), ("full", "hidden")])
def test_nobody_gets_patients_in_a_cut_or_where_they_are_hidden(
    evaluation, tmp_path, unpaged, cut, patients
):
    audit = json.loads((evaluation / "audit.json").read_text(encoding="utf-8"))
    audit["audited"]["patients"] = patients
    (evaluation / "audit.json").write_text(json.dumps(audit), encoding="utf-8")
    with pytest.raises(BadInput, match="only of the full report"):
        export_report(evaluation, tmp_path / "out", cut, STAMP, patients=True)
    assert not (tmp_path / "out").exists()


# ---- the stamp ----


def test_a_name_stands_on_the_line_and_is_text():
    page = stamped_page(PAGE, Stamp("c", "2027-01-31", "0", "0", "<b>A. Person</b>"))
    assert "<td>&lt;b&gt;A. Person&lt;/b&gt;</td>" in page
    assert page.count("_" * 24) == 3  # role, date, signature


def test_a_page_without_an_end_is_refused():
    with pytest.raises(BadInput, match="dvc repro"):
        stamped_page("<p>half", STAMP)


def test_the_date_is_today_or_what_builds_that_repeat_say(monkeypatch):
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    assert abs((date.fromisoformat(stamp_now().date) - date.today()).days) <= 1
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert stamp_now("A. Person") == stamp_now("A. Person")
    assert stamp_now().date == "1970-01-02"


def test_the_commit_is_that_of_the_repository_and_says_what_is_not_in_it(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert commit() == "none"

    def git(*arguments):
        who = ["-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init", "--quiet")
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "--quiet", "-m", "one")
    assert len(commit()) == 40
    (tmp_path / "untracked").write_text("1")
    assert len(commit()) == 40
    (tmp_path / "a").write_text("2")
    assert commit().endswith(" and uncommitted changes")
