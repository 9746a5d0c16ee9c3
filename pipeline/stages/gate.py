"""The gates of conf/gate/, held against the figures of the last evaluation.

Command:  python -m pipeline.stages.gate
Reads:    artifacts/evaluate/
Writes:   artifacts/gate/: gate.json, gate.md

A gate that is not passed, or cannot be asked, fails no stage: `dvc repro` would end without its
report. `medsecure gate` says the same with an exit status. A champion is read, but is no
dependency: after another took its place, `dvc repro --force --single-item gate`.
"""

from pathlib import Path

from pipeline.config import Config
from pipeline.files import BadInput, folder, repository_root, write_json, write_text
from pipeline.gate.audits import Audit
from pipeline.gate.gates import judge
from pipeline.gate.written import as_json, as_markdown, headline, refused
from pipeline.stages import ARTIFACTS, run


def judge_gates(cfg: Config) -> str:
    """The stage."""
    place, named = ARTIFACTS / "gate", cfg.gate.champion
    try:
        audit = Audit.read(ARTIFACTS / "evaluate")
        champion = Audit.read(repository_root() / Path(named)) if named else None
        judged = judge(cfg.gate, audit, champion)
    except BadInput as error:
        with folder(place) as out:
            write_json(out / "gate.json", refused(str(error)))
        return f"not judged: {error}"
    with folder(place) as out:
        write_text(out / "gate.json", as_json(judged))
        write_text(out / "gate.md", as_markdown(judged))
    return f"{headline(judged)}: {place}"


if __name__ == "__main__":
    run(judge_gates)
