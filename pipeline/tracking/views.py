"""What MLflow's pages open with: columns and charts, saved as a view; and their addresses.

A view is a tag of the experiment, in the form in which MLflow's own button "Save as new view"
writes it (`{name, createdAt, updatedAt, state}`, the state as JSON of its own). It is listed under
"Views" on the page of the experiment, and `?viewStateShareKey=` in an address opens it.
"""

import json
from collections.abc import Collection, Sequence
from typing import Any
from urllib.parse import quote

from pipeline.config import Config
from pipeline.risks import RISKS
from pipeline.tracking.params import COMPARED

VIEW = "which_defense"
TAG = f"mlflow.sharedViewState.{VIEW}"
TITLE = "Which defense, at what cost"
SECTION = "compared"
AXES, OF_A_RISK = 4, 2  # metrics of parallel coordinates, at most
RUN_NAME = ("attributes.`Run Name`", 240)
MARGIN, LETTER = 32, 6  # pixels of a column beside its heading, and of a letter of that
BOUNDS = ("_low", "_high")
JOBS = "tags.run_key != ''"  # neither the runs of sweeps nor those of single radii


def columns(cfg: Config) -> list[str]:
    """The columns of the table of runs, as MLflow names them."""
    shown = [name for risk in RISKS for name in risk.shown(cfg)]
    parts = [("params", name) for name in COMPARED[1:]]  # the defense is the run's name
    parts += [("metrics", name) for name in shown] + [("tags", "flags")]
    return [f"{kind}.`{name}`" for kind, name in parts]


def axes(cfg: Config, held: Collection[str]) -> list[str]:
    """The metrics that charts compare: the first that each risk shows, without bounds.

    Args:
        cfg: the configuration.
        held: what every run of this evaluation has. Parallel coordinates leave out a run that lacks
            one of their axes, so that a figure of two defenses would hide all others.
    """
    plain = (
        [name for name in risk.shown(cfg) if name in held and not name.endswith(BOUNDS)][:OF_A_RISK]
        for risk in RISKS
    )
    return [name for names in plain for name in names][:AXES]


def charts(cfg: Config, curves: Sequence[str], held: Collection[str]) -> list[dict[str, Any]]:
    """Parallel coordinates, a scatter of the first two axes, and every curve."""
    compared = axes(cfg, held)
    found: list[dict[str, Any]] = []
    if compared:
        found.append(
            _chart("PARALLEL", 10)
            | {"selectedParams": list(COMPARED[:2]), "selectedMetrics": compared}
            | {"showAllRuns": False}
        )
    if len(compared) > 1:
        across, up = ({"key": name, "type": "METRIC"} for name in compared[:2])
        found.append(_chart("SCATTER", 100) | {"xaxis": across, "yaxis": up})
    for name in curves:
        line = {"metricKey": name, "selectedMetricKeys": [name], "xAxisKey": "step"}
        found.append(_chart("LINE", 10) | line | {"useGlobalXaxisKey": False, "lineSmoothness": 0})
    for place, one in enumerate(found):
        one["uuid"] = f"chart-{place}"
    return found


def _chart(kind: str, runs: int) -> dict[str, Any]:
    common = {"type": kind, "runsCountToCompare": runs, "metricSectionId": SECTION}
    return common | {"deleted": False, "isGenerated": False}


def view(cfg: Config, curves: Sequence[str], held: Collection[str], *, below: bool = False) -> str:
    """The view as the value of its tag.

    Args:
        cfg: resolved.
        curves: names of metrics that stand at several steps.
        held: as for `axes`.
        below: runs lie below that of a sweep, which has no figures and would be all that is seen:
            a filter and an order of its own have MLflow show its jobs as one list.
    """
    known, first = columns(cfg), axes(cfg, held)[:2]
    flat = below and bool(first)
    state = {
        "searchFilter": JOBS if flat else "",
        "orderByKey": f"metrics.`{first[-1]}`" if flat else "attributes.start_time",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": known,
        "columnOrder": [RUN_NAME[0], *known],
        "columnWidths": dict([RUN_NAME, *((name, _width(name)) for name in known)]),
        "compareRunCharts": charts(cfg, curves, held),
        "compareRunSections": [
            {
                "uuid": SECTION,
                "name": TITLE,
                "display": True,
                "isReordered": False,
                "isGenerated": False,
                "columns": 2,
                "cardHeight": 400,
            }
        ],
        "isAccordionReordered": False,
        "viewMaximized": False,
        "runListHidden": False,
        "hideEmptyCharts": False,
        "groupBy": None,
        "runsHiddenMode": "FIRST_20_RUNS" if flat else "FIRST_10_RUNS",
    }
    saved = {"name": TITLE, "createdAt": 0, "updatedAt": 0, "state": json.dumps(state)}
    return json.dumps(saved)


def _width(column: str) -> int:
    """Such that the heading can be read."""
    return MARGIN + LETTER * len(column.partition("`")[2].rstrip("`"))


def runs_address(server: str, experiment: str, *, charts: bool = False) -> str:
    """The table of an experiment's runs, or its charts, by the saved view."""
    mode = "compareRunsMode=CHART&" if charts else ""
    asked = f"workflowType=machine_learning&{mode}viewStateShareKey={VIEW}"
    return f"{server}/#/experiments/{experiment}/runs?{asked}"


def compare_address(server: str, experiment: str, runs: Sequence[str]) -> str:
    """MLflow's page that compares these runs; it wants them to be asked for first."""
    told = quote(json.dumps(list(runs), separators=(",", ":")))
    places = quote(json.dumps([experiment]))
    asked = f"runs={told}&experiments={places}&workflowType=machine_learning"
    return f"{server}/#/compare-runs?{asked}"
