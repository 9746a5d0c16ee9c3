"""Jobs of a sweep side by side: each against no defense, on the same patients.

Jobs that are asked the same of the same patients, whatever makes their models, are drawn up
together, each as one defense: one with a defense is compared with the same job without it, one
without a defense with the first of them. What is concluded of a figure is corrected over all jobs
of the sweep.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from pipeline.config import BASELINE, Config
from pipeline.files import NOT_APPLICABLE, read_json, write_json
from pipeline.risks import RISKS
from pipeline.risks.conclusions import (
    KEY,
    Front,
    Question,
    as_headlines,
    front_of,
    headline_lines,
    overview_table,
    questions,
)
from pipeline.risks.results import draw_up_all, judgements
from pipeline.risks.risk import Context, Judgement, Sources, Trade
from pipeline.statistics.conclusions import Difference, compare, oriented
from pipeline.sweep.fronts import fronts_table
from pipeline.sweep.jobs import Job
from pipeline.sweep.keys import STAGED, question_key
from pipeline.sweep.once import Run

NO_ONE = "not asked: these jobs differ in seed, plan or attackers, and are not paired across them"
LEADS = "leads, but is not told apart from its baseline after Holm over all jobs"


@dataclass(frozen=True)
class Block:
    """Jobs that are asked the same of the same patients, drawn up together.

    Attributes:
        names: what they are called in these tables -> the jobs; the first without a defense is
            `baseline`.
        asked: every headline figure of every risk.
        judged: what speaks against each.
        confidence: of verdicts.
        trades: figures that are bought with each other, of every risk.
    """

    names: Mapping[str, Job]
    asked: Sequence[Question]
    judged: Mapping[str, Judgement]
    confidence: float
    trades: Sequence[Trade] = ()

    @property
    def first(self) -> str:
        """The key of the first job without a defense; empty: there is none."""
        return self.names[BASELINE].key if BASELINE in self.names else ""

    @property
    def references(self) -> dict[str, str]:
        """By name in these tables, with whom each is compared; the first without a defense: nobody.

        One with a defense: the same without it. One without: the first without a defense.
        """
        inside = {job.key: name for name, job in self.names.items()}
        found = {
            name: BASELINE if job.key == job.control else inside.get(job.control, "")
            for name, job in self.names.items()
            if name != BASELINE
        }
        return {name: other for name, other in found.items() if other in self.names}

    def differences(self, one: Question) -> dict[str, Difference]:
        """Each job less whom it is compared with, of who can be."""
        known = set(one.of_known(list(one.values)))
        return {
            name: oriented(one.pairs, name, other)
            for name, other in self.references.items()
            if {name, other} <= known
        }


@dataclass(frozen=True)
class Compared:
    """All that a sweep says of its jobs.

    Attributes:
        headlines: as `conclusions.headline_table`; `defense` is the name of a job, and p-values are
            corrected after Holm over all jobs of the figure.
        lines: a row per figure: `risk, figure, good`, who is `best`, and the `conclusion` in words.
        judged: by name of a job, in their order, what speaks against its figures.
        front: who is on it; None where jobs are not paired, or nothing was weighed.
        asked: every headline figure, once, as the first jobs answer it.
        trades: as `fronts.fronts_table`; by names of jobs.
        references: by name of a job that of the one with which it is compared; whoever is compared
            with nobody is left out.
    """

    headlines: pd.DataFrame
    lines: pd.DataFrame
    judged: Mapping[str, Judgement]
    front: Front | None
    asked: Sequence[Question] = ()
    trades: pd.DataFrame = field(default_factory=pd.DataFrame)
    references: Mapping[str, str] = field(default_factory=dict)

    def of_job(self, name: str) -> dict[str, str]:
        """What is concluded of one job, in words; what is not concluded is left out.

        Returns:
            `better` (never of a flagged one), `worse` than its reference, and `best`: the figures,
            joined by "; ". `pareto_front`: "yes", or "no" and because of whom.
        """
        own = self.headlines[self.headlines["defense"] == name]
        said = {
            verdict: "; ".join(own.loc[own["verdict"] == verdict, "figure"])
            for verdict in ("better", "worse")
        }
        if self.judged[name].flags:
            del said["better"]
        said["best"] = "; ".join(self.lines.loc[self.lines["best"] == name, "figure"])
        if self.front and name in self.front.dominated:
            by = self.front.dominated[name]
            said["pareto_front"] = f"no: dominated by {', '.join(by)}" if by else "yes"
        return {key: value for key, value in said.items() if value}


def compare_jobs(runs: Sequence[tuple[Job, Run]]) -> Compared:
    """Concludes from all jobs of a sweep that were run to their end.

    Args:
        runs: in the order in which they are shown; at least one.
    """
    blocks = [draw_up_block(own) for own in by_question(runs)]
    judged = {
        job.name: block.judged.get(inside, Judgement())
        for block in blocks
        for inside, job in block.names.items()
    }
    headlines, flagged = _headlines(blocks), [name for name, one in judged.items() if one.flags]
    outside = [{inside: job.name for inside, job in block.names.items()} for block in blocks]
    traded = fronts_table(
        [(names, block.trades) for names, block in zip(outside, blocks, strict=True)], flagged
    )
    references = {
        names[one]: names[other]
        for block, names in zip(blocks, outside, strict=True)
        for one, other in block.references.items()
    }
    asked = list({one.name: one for block in reversed(blocks) for one in block.asked}.values())
    if len(blocks) > 1:
        lines = headlines[KEY].drop_duplicates().assign(best="", conclusion=NO_ONE)
        lines = lines.reset_index(drop=True)
        return Compared(headlines, lines, judged, None, asked, traded, references)
    (block,), (names,) = blocks, outside
    inside = headlines.replace({"defense": {name: own for own, name in names.items()}})
    lines = overview_table(block.asked, inside, block.judged, block.confidence)
    lines = _only_if_better(_in_full(lines, names), headlines)
    front = _renamed(front_of(block.asked, block.judged, block.confidence), names)
    return Compared(headlines, lines, judged, front, asked, traded, references)


def _in_full(lines: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """With the names of jobs, where tables call one of several without a defense `baseline`."""
    alone = re.compile(rf"\b{BASELINE}\b(?! \([^()=]+=)")
    whole = names.get(BASELINE, BASELINE)
    said = [alone.sub(lambda _: whole, text) for text in lines["conclusion"]]
    return lines.replace({"best": dict(names)}).assign(conclusion=said)


def _only_if_better(lines: pd.DataFrame, headlines: pd.DataFrame) -> pd.DataFrame:
    """Without a best job that is not told from its own baseline, once all jobs are counted.

    `best` leaves flagged jobs out, so it is corrected over fewer comparisons than `headlines` is.
    """
    told = headlines[headlines["verdict"].isin(["better", ""])]
    known = set(zip(told["risk"], told["figure"], told["defense"], strict=True))
    said = list(zip(lines["risk"], lines["figure"], lines["best"], strict=True))
    weak = [bool(best) and (risk, figure, best) not in known for risk, figure, best in said]
    rows = list(zip(weak, lines["best"], lines["conclusion"], strict=True))
    return lines.assign(
        best=["" if is_weak else best for is_weak, best, _ in rows],
        conclusion=[f"{best} {LEADS}" if is_weak else text for is_weak, best, text in rows],
    )


def _renamed(front: Front | None, names: Mapping[str, str]) -> Front | None:
    if front is None:
        return None
    dominated = {
        names[name]: tuple(names[other] for other in by) for name, by in front.dominated.items()
    }
    return Front(front.figures, dominated, tuple(names[name] for name in front.left_out))


def by_question(runs: Sequence[tuple[Job, Run]]) -> list[list[tuple[Job, Run]]]:
    """The jobs that are asked the same of the same patients, together."""
    return _grouped(runs, lambda job: question_key(job.cfg))


def _grouped(
    runs: Sequence[tuple[Job, Run]], key: Callable[[Job], str]
) -> list[list[tuple[Job, Run]]]:
    groups: dict[str, list[tuple[Job, Run]]] = {}
    for job, run in runs:
        groups.setdefault(key(job), []).append((job, run))
    return list(groups.values())


def draw_up_block(runs: Sequence[tuple[Job, Run]]) -> Block:
    """Draws up jobs that are paired; their tables call the first without a defense `baseline`.

    What speaks against one with a defense is said beside the same job without it.
    """
    block = _drawn_up(runs)
    judged = dict(block.judged)
    for own in _grouped(runs, lambda job: job.control):
        defended = [job.name for job, _ in own if job.key != job.control]
        if defended and own[0][0].control != block.first:
            told = _drawn_up(own).judged
            judged |= {name: told[name] for name in defended if name in told}
    return replace(block, judged=judged)


def _drawn_up(runs: Sequence[tuple[Job, Run]]) -> Block:
    called = _inside([job for job, _ in runs])
    names = {called[job.name]: job for job, _ in runs}
    by_name = {called[job.name]: run for job, run in runs}
    first = runs[0][1]
    cfg = _together(first.cfg, names)
    context = Context(first.dataset, cfg)
    with _staged(by_name) as staged:
        examined = {name: run.examined for name, run in by_name.items()}
        results = draw_up_all(Sources(examined, staged), context)
        trades = [one for risk in RISKS for one in risk.trades(results[risk.name], cfg)]
    asked = questions(results, cfg)
    return Block(names, asked, judgements(results), cfg.audit.confidence, trades)


def _inside(jobs: Sequence[Job]) -> dict[str, str]:
    """By name of a job what tables call it."""
    first = next((job.name for job in jobs if job.key == job.control), "")
    return {job.name: BASELINE if job.name == first else job.name for job in jobs}


def _together(cfg: Config, names: Mapping[str, Job]) -> Config:
    """The configuration of several jobs, as if each was a defense of its own."""
    values: dict[str, Any] = {field: getattr(cfg, field) for field in Config.model_fields}
    for name, section in cfg.sections.items():
        recipes = {"recipes": list(names)} if name in STAGED else {}
        values[name] = section.model_copy(update=recipes)
    others = [name for name in names if name != BASELINE]
    options = {name: job.cfg.defenses[job.defense] for name, job in names.items()}
    return Config.model_construct(None, **{**values, "examine": others, **options})


@contextmanager
def _staged(runs: Mapping[str, Run]) -> Iterator[Path | None]:
    """What risks with a stage of their own measured of several jobs, as one stage leaves it."""
    if any(run.staged is None for run in runs.values()):
        yield None
        return
    with TemporaryDirectory() as scratch:
        left_out: dict[str, dict[str, Mapping[str, str]]] = {}
        for name, run in runs.items():
            for file in sorted((run.staged or Path()).glob("*/*")):
                risk, place = file.parent.name, Path(scratch) / file.parent.name
                place.mkdir(exist_ok=True)
                if file.name == NOT_APPLICABLE:
                    left_out.setdefault(risk, {})[name] = read_json(file).get(risk, {})
                    continue
                own = place / (f"{name}{file.suffix}" if file.stem == run.defense else file.name)
                if not own.is_symlink():  # filters are shown of the first without a defense
                    own.symlink_to(file.resolve())
        for risk, told in left_out.items():
            said = {risk: _whys(told, list(runs))}
            write_json(Path(scratch) / risk / NOT_APPLICABLE, said)
        yield Path(scratch)


def _whys(told: Mapping[str, Mapping[str, str]], jobs: Sequence[str]) -> dict[str, str]:
    """What could not be asked, and why: of all jobs as of one, else of each by its name."""
    first = told[next(iter(told))]
    if all(told.get(name) == first for name in jobs):
        return dict(first)
    return {
        f"{name}, {what}" if what else name: why
        for name, whys in told.items()
        for what, why in whys.items()
    }


def _headlines(blocks: Sequence[Block]) -> pd.DataFrame:
    """The rows of all jobs, figure by figure, each figure corrected over all of them."""
    keys = list(dict.fromkeys(tuple(one.key.values()) for block in blocks for one in block.asked))
    rows: list[dict[str, Any]] = []
    for key in keys:
        own = [(block, one) for block in blocks for one in block.asked if _is(one, key)]
        differences = {
            (at, name): one_less
            for at, (block, one) in enumerate(own)
            for name, one_less in block.differences(one).items()
        }
        for at, (block, one) in enumerate(own):
            judged = compare(differences, patients=one.patients, confidence=block.confidence)
            mine = {name: found for (where, name), found in judged.items() if where == at}
            rows += [
                {**line, "defense": block.names[line["defense"]].name}
                for line in headline_lines(one, mine)
            ]
    return as_headlines(rows)


def _is(one: Question, key: tuple[str, ...]) -> bool:
    return tuple(one.key.values()) == key
