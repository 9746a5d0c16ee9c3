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
from pipeline.defenses.admission import admit, admit_all, remarks_on_size
from pipeline.files import BadInput, folder, in_repository, repository_root
from pipeline.models.endpoint import Endpoint, asked_about
from pipeline.models.population import Population
from pipeline.presentation.sector_words import in_columns, in_words
from pipeline.project.launchers import GROUP, HERE, RAY, Launcher
from pipeline.project.package import package_digest
from pipeline.report import REPORT, SUMMARY, how_to_compare
from pipeline.risks.conclusions import questions
from pipeline.risks.risk import Judgement
from pipeline.sweep.claims import boards, wait_for
from pipeline.sweep.compared import compare_jobs
from pipeline.sweep.engines import engine_of, in_turn
from pipeline.sweep.jobs import Job, fixed, plan_jobs, told_of
from pipeline.sweep.keys import staged_key
from pipeline.sweep.once import DRAWN_BY, ELSEWHERE, Run, drawn_and_logged, measured, place_of
from pipeline.sweep.page import JOBS, write_sweep
from pipeline.sweep.shown import Key, Layout, figures_of, most_important, summary
from pipeline.sweep.work import SHARED, Done, Fault, Outcome, Task, do_task
from pipeline.tracking.groups import SAID, TITLE, Group, conclude_group, open_group
from pipeline.tracking.runs import run_name
from pipeline.tracking.store import open_store

Asked = Sequence[tuple[Sequence[str], Config]]
IN_THIS_PROCESS = Launcher(HERE, {})


@dataclass
class _Sweep:
    """The jobs of one cohort, and how far they are.

    Attributes:
        jobs: all of them, in the order in which they are run.
        group: what it is in MLflow.
        parent: its run there; empty until the first job.
        done: name of a finished one -> what it says.
        failed: name of a job -> why.
        elsewhere: the same of those whose measurements another worker has.
    """

    jobs: Sequence[Job]
    group: Group
    parent: str = ""
    done: dict[str, Done] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    elsewhere: dict[str, str] = field(default_factory=dict)

    @property
    def figures(self) -> Sequence[Key]:
        """With the most important first; of the first finished job, in the order of the jobs."""
        return next((self.done[job.name].figures for job in self.jobs if job.name in self.done), ())


def run_sweep(asked: Asked, launcher: Launcher = IN_THIS_PROCESS) -> int:
    """Runs all jobs of a sweep and says what they say; what is done is not done again.

    A job that fails costs one line, and the others go on.

    Args:
        asked: for each combination of choices its overrides, and its configuration.
        launcher: what runs them.

    Returns:
        the exit status: 1 where a job failed; 2 where each did, by a mistake of whoever asked.

    Raises:
        BadInput: the store of MLflow cannot be reached or written; or as `admit_all`, `engine_of`;
            or workers of Ray would wait for other workers of the same Ray.
    """
    jobs, said = told_of(plan_jobs(asked))
    if launcher.kind == RAY and any(job.cfg.parallel.backend == RAY for job in jobs):
        raise BadInput(
            f"parallel.backend=ray: the jobs of {GROUP}={RAY} hold the processors that their own "
            "tasks would wait for; leave it out"
        )
    records = _records(jobs)
    known = [(records[_cohort(job.cfg)], job.cfg) for job in jobs if _cohort(job.cfg) in records]
    remarks = admit_all(known)
    open_store(jobs[0].cfg)  # an unreachable server costs no training
    print("".join(f"{remark}\n" for remark in remarks), end="")
    print(_opening(jobs, len(asked)) + said, flush=True)
    sweeps = _by_cohort(jobs, fixed(asked))
    every = [(one, job) for one in sweeps for job in one.jobs]
    threads = max(job.cfg.threads for job in jobs)
    mistakes, here = 0, launcher.kind == HERE

    def do(task: Task) -> Outcome:
        return do_task(task, lambda: _read(task.cfg, records))

    with (
        engine_of(launcher, do, threads) as it,
        tqdm(total=len(jobs), unit="job", file=sys.stderr, disable=None) as bar,
    ):

        def begin(at: int) -> Task:
            sweep, job = every[at]
            if here:
                bar.set_description(f"{job.name}{', added to compare with' * job.added}")
            if not sweep.parent:
                with wait_for(sweep.group.key, boards()):
                    sweep.parent = open_group(job.cfg, sweep.group)
            return Task(at, job.defense, job.cfg, job.overrides, sweep.parent)

        def again(at: int, why: str) -> None:
            tqdm.write(f"{every[at][1].name}: {why}; once more", file=sys.stderr)

        ends = in_turn([job for _, job in every], it, begin, again)
        for count, (at, outcome) in enumerate(ends, start=1):
            sweep, job = every[at]
            if isinstance(outcome, Done) and not place_of(outcome.key).exists():
                outcome = Fault(f"its worker left nothing here; {SHARED}", "mistake")
            if isinstance(outcome, Fault) and outcome.kind == "elsewhere":
                sweep.elsewhere[job.name] = outcome.said
            elif isinstance(outcome, Fault):
                mistakes += outcome.kind == "mistake"
                _fail(sweep, job, outcome)
            else:
                sweep.done[job.name] = outcome
                _show(sweep, job, outcome, count, jobs)
            bar.update()
    for one in sweeps:
        if one.done:
            _conclude(one, records)
    failed = [name for one in sweeps for name in one.failed]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    if away := [name for one in sweeps for name in one.elsewhere]:
        print(f"{', '.join(away)}: {ELSEWHERE}", file=sys.stderr)
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


def _read(cfg: Config, records: Mapping[bytes, Dataset]) -> Dataset:
    """The records of a job; those that could not be read are tried again, to say why."""
    known = records.get(_cohort(cfg))
    return read_raw(cfg.data, repository_root())[0] if known is None else known


def _fail(sweep: _Sweep, job: Job, fault: Fault) -> None:
    alone = f"; alone: python -m pipeline {' '.join(job.alone)}" if fault.kind == "bug" else ""
    said = " ".join(f"{in_words(fault.said, job.cfg.data.spoken)}{alone}".split())
    sweep.failed[job.name] = said
    tqdm.write(f"error: {job.name}: {said}", file=sys.stderr)


def _show(sweep: _Sweep, job: Job, done: Done, at: int, jobs: Sequence[Job]) -> None:
    """The line of a finished job, below the titles of the columns."""
    layout = Layout.of(jobs, sweep.figures)
    lines = [layout.heading(counted=True)] if len(sweep.done) == 1 else []
    lines.append(layout.row(job, done.cells, at, "*" * done.flagged))
    tqdm.write(in_columns("\n".join(lines), job.cfg.data.spoken))
    sys.stdout.flush()


def _conclude(sweep: _Sweep, records: Mapping[bytes, Dataset]) -> None:
    """Compares the jobs, writes the page, and logs both; prints the table.

    Jobs stand in their own order, whichever ended first.
    """
    known = {job.name: job for job in sweep.jobs if job.name in sweep.done}
    finished = [(job, _run(job, sweep.done[name], records)) for name, job in known.items()]
    lacking = {**sweep.failed, **sweep.elsewhere}
    failed = {job.name: lacking[job.name] for job in sweep.jobs if job.name in lacking}
    place, digest = place_of(sweep.group.key), _drawn(finished, failed)
    drawn, cfg = place / DRAWN_BY, finished[0][1].cfg
    if not drawn.exists() or drawn.read_text(encoding="utf-8") != digest:
        compared = compare_jobs(finished)
        jobs = list(known.values())
        text = summary(Layout.of(jobs, sweep.figures), jobs, compared)
        with folder(place) as out:
            write_sweep(finished, compared, sweep.figures, cfg, out, failed=failed, summary=text)
            (out / DRAWN_BY).write_text(digest, encoding="utf-8")
    said = _said(place, {name: sweep.done[name].logged for name in known}, known)
    with wait_for(sweep.group.key, boards()):
        conclude_group(cfg, sweep.parent, digest, said, place)
    print(f"\n{(place / SUMMARY).read_text(encoding='utf-8')}")
    print(f"Page:               {in_repository(f'sweeps/{place.name}') / REPORT}")


def _run(job: Job, done: Done, records: Mapping[bytes, Dataset]) -> Run:
    return Run(job.defense, job.cfg, _read(job.cfg, records), done.key, done.done_before)


def _drawn(finished: Sequence[tuple[Job, Run]], failed: Mapping[str, str]) -> str:
    """The digest of what a sweep says: of the code that draws, and of whose figures these are."""
    known = [(job.name, run.key, staged_key(run.cfg)) for job, run in finished]
    return hashlib.sha256(repr((package_digest(), known, failed)).encode()).hexdigest()


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
    for remark in remarks_on_size(admit(dataset, cfg), cfg):
        print(remark, flush=True)
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
        place = evaluation.relative_to(repository_root())
        lines.append(f"page: {place / REPORT}")
        if cfg.plan.frozen:
            lines.append(f"its gates: medsecure gate --audit {place}")
        lines += _questions(cfg, evaluated.populations[job.defense])
        print(in_columns("\n".join(lines), cfg.data.spoken), flush=True)
    print(f"\n{how_to_compare()}")
