"""Jobs of a sweep side by side: each against no defense, on the same patients.

Who is compared with the same job without a defense is drawn up together with it, each job as one
defense. What is concluded of a figure is corrected over all jobs of the sweep.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from pipeline.config import BASELINE, Config
from pipeline.risks import RISKS
from pipeline.risks.conclusions import (
    KEY,
    Front,
    Question,
    against_none,
    as_headlines,
    front_of,
    headline_lines,
    overview_table,
    questions,
)
from pipeline.risks.results import draw_up_all, judgements
from pipeline.risks.risk import Context, Judgement, Sources, Trade
from pipeline.statistics.conclusions import compare
from pipeline.sweep.fronts import fronts_table
from pipeline.sweep.jobs import Job
from pipeline.sweep.keys import STAGED
from pipeline.sweep.once import Run

NO_ONE = "not asked: these jobs have several baselines, and are not paired across them"
LEADS = "leads, but is not told apart from its baseline after Holm over all jobs"


@dataclass(frozen=True)
class Block:
    """Jobs that are compared with the same one, drawn up together.

    Attributes:
        names: what they are called in these tables -> the jobs.
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


@dataclass(frozen=True)
class Compared:
    """All that a sweep says of its jobs.

    Attributes:
        headlines: as `conclusions.headline_table`; `defense` is the name of a job, and p-values are
            corrected after Holm over all jobs of the figure.
        lines: a row per figure: `risk, figure, good`, who is `best`, and the `conclusion` in words.
        judged: by name of a job, in their order, what speaks against its figures.
        front: who is on it; None where jobs have several baselines, or nothing was weighed.
        asked: every headline figure, once, as the first jobs answer it.
        trades: as `fronts.fronts_table`; by names of jobs.
    """

    headlines: pd.DataFrame
    lines: pd.DataFrame
    judged: Mapping[str, Judgement]
    front: Front | None
    asked: Sequence[Question] = ()
    trades: pd.DataFrame = field(default_factory=pd.DataFrame)

    def of_job(self, name: str) -> dict[str, str]:
        """What is concluded of one job, in words; what is not concluded is left out.

        Returns:
            `better` (never of a flagged one), `worse` than its baseline, and `best`: the figures,
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
    blocks = [draw_up_block(own) for own in by_control(runs)]
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
    asked = list({one.name: one for block in reversed(blocks) for one in block.asked}.values())
    if len(blocks) > 1:
        lines = headlines[KEY].drop_duplicates().assign(best="", conclusion=NO_ONE)
        return Compared(headlines, lines.reset_index(drop=True), judged, None, asked, traded)
    (block,), (names,) = blocks, outside
    inside = headlines.replace({"defense": {name: own for own, name in names.items()}})
    lines = overview_table(block.asked, inside, block.judged, block.confidence)
    lines = _only_if_better(lines.replace({"best": names}), headlines)
    front = _renamed(front_of(block.asked, block.judged, block.confidence), names)
    return Compared(headlines, lines, judged, front, asked, traded)


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


def by_control(runs: Sequence[tuple[Job, Run]]) -> list[list[tuple[Job, Run]]]:
    """The jobs that are compared with the same one, together."""
    controls: dict[str, list[tuple[Job, Run]]] = {}
    for job, run in runs:
        controls.setdefault(job.control, []).append((job, run))
    return list(controls.values())


def draw_up_block(runs: Sequence[tuple[Job, Run]]) -> Block:
    """Draws up jobs that are compared with the same one; their tables call that `baseline`."""
    names = {_inside(job): job for job, _ in runs}
    by_name = {_inside(job): run for job, run in runs}
    first = runs[0][1]
    cfg = _together(first.cfg, names)
    context = Context(first.dataset, cfg)
    with _staged(by_name) as staged:
        examined = {name: run.examined for name, run in by_name.items()}
        results = draw_up_all(Sources(examined, staged), context)
        trades = [one for risk in RISKS for one in risk.trades(results[risk.name], cfg)]
    asked = questions(results, cfg)
    return Block(names, asked, judgements(results), cfg.audit.confidence, trades)


def _inside(job: Job) -> str:
    return BASELINE if job.key == job.control else job.name


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
        for name, run in runs.items():
            for file in sorted((run.staged or Path()).glob("*/*")):
                own = file.stem == run.defense
                place = Path(scratch) / file.parent.name
                place.mkdir(exist_ok=True)
                (place / (f"{name}{file.suffix}" if own else file.name)).symlink_to(file.resolve())
        yield Path(scratch)


def _headlines(blocks: Sequence[Block]) -> pd.DataFrame:
    """The rows of all jobs, figure by figure, each figure corrected over all of them."""
    keys = list(dict.fromkeys(tuple(one.key.values()) for block in blocks for one in block.asked))
    rows: list[dict[str, Any]] = []
    for key in keys:
        own = [(block, one) for block in blocks for one in block.asked if _is(one, key)]
        differences = {
            (at, name): one_less
            for at, (_, one) in enumerate(own)
            for name, one_less in against_none(one).items()
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
