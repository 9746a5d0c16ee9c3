"""Jobs, and figures of them that were made up."""

import numpy as np
import pandas as pd

from pipeline.risks.conclusions import Question
from pipeline.risks.pairs import Drawn, pairs_table
from pipeline.risks.risk import HeadlineFigure, Judgement
from pipeline.sweep import compared
from pipeline.sweep.jobs import Job, name_of

PATIENTS = 400


class Settings:
    """Of a configuration no more than that it has a key."""

    def __init__(self, key):
        self.key = key


def job(defense, control="baseline", **varies):
    """A job whose key is its name; keys of its defense are written `<defense>.<key>`."""
    named = {key.replace("__", "."): str(value) for key, value in varies.items()}
    return PlantedJob(name_of(defense, named), defense, None, named, control)


class PlantedJob(Job):
    """A job that is known by its name."""

    @property
    def key(self):
        return self.name


def question(values, se=0.01, figure="missed", risk="evasion", good="low", weighed=True):
    """A figure with these values, whose differences all have this standard error."""
    draws = {name: Drawn(value, np.full(2, value)) for name, value in values.items()}
    pairs = pairs_table({figure: draws}, PATIENTS).assign(se=se)
    table = pd.DataFrame({"value": values}).astype(float).rename_axis("defense")
    table = table.assign(low=table["value"] - 0.02, high=table["value"] + 0.02)
    return Question.of(risk, HeadlineFigure(figure, good, table, pairs, weighed))


def block(jobs, *questions, flagged=()):
    """A block of planted jobs."""
    called = compared._inside(jobs)
    names = {called[one.name]: one for one in jobs}
    judged = {name: Judgement({"masked": "why"} if name in flagged else {}) for name in names}
    return compared.Block(names, questions, judged, 0.95)


def conclude(monkeypatch, *blocks):
    """What a sweep of these blocks says."""
    waiting = list(blocks)
    monkeypatch.setattr(compared, "by_question", lambda _: waiting)
    monkeypatch.setattr(compared, "draw_up_block", lambda one: one)
    return compared.compare_jobs([])
