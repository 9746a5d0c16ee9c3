"""Checks the raw records and draws up who trains on whom.

Command:  python -m pipeline.stages.prepare
Reads:    ${data.file}: the records, or the description of a data set that comes with scikit-learn
Writes:   artifacts/prepare/: records.parquet or images.safetensors, schema, plan and report

With `--check` it says whether the records allow what is configured, and writes nothing.
"""

import sys
from dataclasses import asdict

from pipeline.config import Config
from pipeline.data.columns import Columns
from pipeline.data.images import split_in_words
from pipeline.data.plan import PLAN
from pipeline.data.provenance import provenance_in_words
from pipeline.data.raw import read_raw
from pipeline.data.repeats import Repeats
from pipeline.data.schema import save_dataset
from pipeline.data.slips import Slips
from pipeline.data.tabular import census_in_words
from pipeline.defenses.admission import admit, remarks_on_size
from pipeline.files import folder, repository_root, write_json
from pipeline.stages import ARTIFACTS, run

CHECK = "--check"


def prepare_cohort(cfg: Config) -> str:
    """The stage."""
    dataset, report = read_raw(cfg.data, repository_root())
    plan = admit(dataset, cfg)
    columns, repeats, slips = Columns.of(dataset), Repeats.of(dataset), Slips.of(dataset)
    with folder(ARTIFACTS / "prepare") as out:
        save_dataset(dataset, out)
        plan.save(out / PLAN)
        write_json(out / "report.json", report | asdict(columns) | asdict(repeats) | asdict(slips))
    missing = ", ".join(f"{name} {count}" for name, count in report["missing"].items() if count)
    remarks = provenance_in_words(report) + split_in_words(report) + census_in_words(report)
    remarks += columns.remarks + repeats.remarks + slips.remarks + remarks_on_size(plan, cfg)
    print("".join(f"{remark}\n" for remark in remarks), end="")
    what = "images" if dataset.schema.image else "records"
    said = f"{cfg.data.title}: {report['records']} {what}, {report['positives']} positive"
    return said if dataset.schema.image else f"{said}; missing: {missing or 'none'}"


def check_cohort(cfg: Config) -> str:
    """Refuses what the stage would, and writes nothing."""
    dataset, _ = read_raw(cfg.data, repository_root())
    admit(dataset, cfg)
    return "the records allow what is configured"


if __name__ == "__main__":
    if sys.argv[1:] == [CHECK]:
        sys.argv.pop()
        run(check_cohort)
    else:
        run(prepare_cohort)
