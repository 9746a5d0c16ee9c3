"""A sweep from its command line to its end: every job once, compared, on a page and in MLflow."""

import hashlib
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from pipeline.config import Config
from pipeline.data.raw import read_raw
from pipeline.data.schema import Dataset
from pipeline.defenses.admission import admit, admit_all
from pipeline.files import BadInput, FailedCheck, folder, in_repository, repository_root
from pipeline.models.endpoint import Endpoint, asked_about
from pipeline.models.population import Population
from pipeline.presentation.sector_words import in_columns
from pipeline.project.package import package_digest
from pipeline.report import REPORT, SUMMARY, how_to_compare
from pipeline.risks.conclusions import questions
from pipeline.risks.risk import Judgement
from pipeline.sweep.compared import compare_jobs
from pipeline.sweep.jobs import Job, fixed, plan_jobs
from pipeline.sweep.keys import staged_key
from pipeline.sweep.once import DRAWN_BY, Run, drawn_and_logged, measured, place_of
from pipeline.sweep.page import JOBS, write_sweep
from pipeline.sweep.shown import Key, Layout, figures_of, most_important, summary
from pipeline.tracking.groups import SAID, TITLE, Group, conclude_group, open_group
from pipeline.tracking.runs import Evaluated, run_key, run_name
from pipeline.tracking.store import open_store

Asked = Sequence[tuple[Sequence[str], Config]]


@dataclass
class _Sweep:
    """The jobs of one cohort, and how far they are.

    Attributes:
        jobs: all of them, in the order in which they are run.
        group: what it is in MLflow.
        parent: its run there; empty until the first job.
        done: the finished ones.
        logged: name of a job -> the `run_key` of its run in MLflow.
        failed: name of a job -> why.
        figures: with the most important first; known when one job is done.
    """

    jobs: Sequence[Job]
    group: Group
    parent: str = ""
    done: list[tuple[Job, Run]] = field(default_factory=list)
    logged: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    figures: list[Key] = field(default_factory=list)


def run_sweep(asked: Asked) -> int:
    """Runs all jobs of a sweep and says what they say; what is done is not done again.

    A job that fails costs one line, and the others go on.

    Args:
        asked: for each combination of choices its overrides, and its configuration.

    Returns:
        the exit status: 1 where a job failed; 2 where each did, by a mistake of whoever asked.

    Raises:
        BadInput: the store of MLflow cannot be reached or written; or as `admit_all`.
    """
    jobs = plan_jobs(asked)
    records = _records(jobs)
    admit_all((records[_cohort(job.cfg)], job.cfg) for job in jobs if _cohort(job.cfg) in records)
    open_store(jobs[0].cfg)  # an unreachable server costs no training
    print(_opening(jobs, len(asked)), flush=True)
    sweeps = _by_cohort(jobs, fixed(asked))
    mistakes = 0
    with tqdm(total=len(jobs), unit="job", file=sys.stderr, disable=None) as bar:
        every = [(one, job) for one in sweeps for job in one.jobs]
        for at, (sweep, job) in enumerate(every, start=1):
            bar.set_description(f"{job.name}{', added to compare with' * job.added}")
            try:
                evaluated = _run(sweep, job, records)
            except (BadInput, FailedCheck) as error:
                mistakes += isinstance(error, BadInput)
                _fail(sweep, job, str(error))
            except Exception as error:  # a bug: seen whole where the job is run alone
                command = f"python -m pipeline {' '.join(job.alone)}"
                _fail(sweep, job, f"{type(error).__name__}: {error}; alone: {command}")
            else:
                _show(sweep, job, evaluated, at, jobs)
            bar.update()
    for one in sweeps:
        if one.done:
            _conclude(one)
    failed = [name for one in sweeps for name in one.failed]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    print(how_to_compare())
    return 2 if mistakes == len(jobs) else int(bool(failed))


def _opening(jobs: Sequence[Job], combinations: int) -> str:
    asked = sum(not job.added for job in jobs)
    said = f"{asked} {'job' if asked == 1 else 'jobs'}"
    if combinations > asked:
        said += f" of {combinations} combinations: the others differ in what they do not use"
    if added := [job.name for job in jobs if job.added]:
        said += f"; {', '.join(added)} added, to compare with"
    return said


def _by_cohort(jobs: Sequence[Job], common: Mapping[str, str]) -> list[_Sweep]:
    """The jobs of each cohort: no patients are shared, and each has an experiment in MLflow."""
    cohorts: dict[bytes, list[Job]] = {}
    for job in jobs:
        cohorts.setdefault(_cohort(job.cfg), []).append(job)
    return [_Sweep(own, _group(own, common)) for own in cohorts.values()]


def _cohort(cfg: Config) -> bytes:
    return cfg.data.model_dump_json().encode()


def _group(jobs: Sequence[Job], common: Mapping[str, str]) -> Group:
    digest = hashlib.sha256(repr(sorted((job.name, job.key) for job in jobs)).encode())
    varied: dict[str, dict[str, None]] = {"defense": dict.fromkeys(job.defense for job in jobs)}
    for job in jobs:
        for key, value in job.varies.items():
            varied.setdefault(key, {})[value] = None
    params = {key: ",".join(values) for key, values in varied.items()}
    shared = {
        key: value
        for key, value in common.items()
        if "/" not in value and not key.startswith("hydra")  # nobody is told of our folders
    }
    return Group(digest.hexdigest(), f"sweep of {', '.join(varied)}", {**params, **shared})


def _records(jobs: Sequence[Job]) -> dict[bytes, Dataset]:
    """The records of each cohort, read once; one that cannot be read costs its own jobs only."""
    known: dict[bytes, Dataset] = {}
    for cohort, data in {_cohort(job.cfg): job.cfg.data for job in jobs}.items():
        with suppress(BadInput):
            known[cohort], _ = read_raw(data, repository_root())
    return known


def _run(sweep: _Sweep, job: Job, records: dict[bytes, Dataset]) -> Evaluated:
    """One job to its end; records that could not be read are tried again, to say why."""
    sweep.parent = sweep.parent or open_group(job.cfg, sweep.group)
    dataset = records.get(_cohort(job.cfg))
    if dataset is None:
        dataset, _ = read_raw(job.cfg.data, repository_root())
    run = measured(job.cfg, job.defense, dataset)
    _, evaluated = drawn_and_logged(run, job.overrides, sweep.parent)
    sweep.done.append((job, run))
    sweep.logged[job.name] = run_key(evaluated, job.defense)
    return evaluated


def _fail(sweep: _Sweep, job: Job, why: str) -> None:
    said = " ".join(why.split())
    sweep.failed[job.name] = said
    tqdm.write(f"error: {job.name}: {said}", file=sys.stderr)


def _show(sweep: _Sweep, job: Job, evaluated: Evaluated, at: int, jobs: Sequence[Job]) -> None:
    """The line of a finished job, below the titles of the columns."""
    asked = questions(evaluated.results, evaluated.context.cfg)
    first = not sweep.figures
    sweep.figures = sweep.figures or most_important(asked)
    layout = Layout.of(jobs, sweep.figures)
    flagged = bool(evaluated.conclusions.judged[job.defense].flags)
    lines = [layout.heading(counted=True)] if first else []
    lines.append(layout.row(job, figures_of(asked, job.defense), at, "*" * flagged))
    tqdm.write(in_columns("\n".join(lines), job.cfg.data.spoken))
    sys.stdout.flush()


def _conclude(sweep: _Sweep) -> None:
    """Compares the jobs, writes the page, and logs both; prints the table."""
    place, digest = place_of(sweep.group.key), _drawn(sweep)
    drawn = place / DRAWN_BY
    if not drawn.exists() or drawn.read_text(encoding="utf-8") != digest:
        compared = compare_jobs(sweep.done)
        jobs = [job for job, _ in sweep.done]
        text = summary(Layout.of(jobs, sweep.figures), jobs, compared)
        with folder(place) as out:
            write_sweep(
                sweep.done,
                compared,
                sweep.figures,
                sweep.done[0][1].cfg,
                out,
                failed=sweep.failed,
                summary=text,
            )
            (out / DRAWN_BY).write_text(digest, encoding="utf-8")
    said = _said(place, sweep.logged, {job.name: job for job, _ in sweep.done})
    conclude_group(sweep.done[0][1].cfg, sweep.parent, digest, said, place)
    print(f"\n{(place / SUMMARY).read_text(encoding='utf-8')}")
    print(f"Page:               {in_repository(f'sweeps/{place.name}') / REPORT}")


def _drawn(sweep: _Sweep) -> str:
    """The digest of what a sweep says: of the code that draws, and of whose figures these are."""
    known = [(job.name, run.key, staged_key(run.cfg)) for job, run in sweep.done]
    return hashlib.sha256(repr((package_digest(), known, sweep.failed)).encode()).hexdigest()


def _said(
    place: Path, logged: Mapping[str, str], jobs: Mapping[str, Job]
) -> dict[str, dict[str, str]]:
    """By the key of its run in MLflow what was concluded of each job, and its name with its flags.

    Some flags are raised only beside the job without a defense.
    """
    table = pd.read_csv(place / JOBS, dtype=str, keep_default_na=False).set_index("job")
    said = {}
    for name, key in logged.items():
        line = {str(column): str(text) for column, text in table.loc[name].items()}
        flags = line["flags"].split()
        job = jobs[name]
        title = run_name(job.defense, Judgement(dict.fromkeys(flags, "")), job.overrides)
        words = {what: line[what] for what in SAID if line[what]}
        said[key] = {**words, "flags": " ".join(flags) or "none", TITLE: title}
    return said


def _questions(cfg: Config, population: Population) -> list[str]:
    """How many records a model behind an address was asked about, in this audit or earlier ones."""
    address = str(cfg.model.own.get("source", ""))
    if not address.startswith(("http://", "https://")):
        return []
    count = asked_about(Endpoint(address, version=population.digest))
    return [f"asked {address} about {count} records; none is asked about again"]


def run_alone(cfg: Config, overrides: Sequence[str]) -> None:
    """Runs every defense that `cfg` holds, and compares nothing; a finished one is not run again.

    Args:
        cfg: the configuration.
        overrides: of the command line.

    Raises:
        BadInput: as `admit`, before anything is trained.
    """
    open_store(cfg)
    dataset, _ = read_raw(cfg.data, repository_root())
    admit(dataset, cfg)
    apart = [override for override in overrides if not override.startswith("defense=")]
    jobs = [job for job in plan_jobs([(overrides, cfg)]) if not job.added]
    figures: list[Key] = []
    for job in jobs:
        evaluation, evaluated = drawn_and_logged(measured(job.cfg, job.defense, dataset), apart)
        asked = questions(evaluated.results, evaluated.context.cfg)
        first, figures = not figures, figures or most_important(asked)
        layout = Layout.of(jobs, figures)
        flags = evaluated.conclusions.judged[job.defense].flags
        lines = [layout.heading(counted=False)] if first else []
        lines.append(layout.row(job, figures_of(asked, job.defense), mark="*" * bool(flags)))
        lines += [f"* flagged: {', '.join(flags)}"] if flags else []
        lines.append(f"page: {evaluation.relative_to(repository_root()) / REPORT}")
        lines += _questions(cfg, evaluated.populations[job.defense])
        print(in_columns("\n".join(lines), cfg.data.spoken), flush=True)
    print(f"\n{how_to_compare()}")
