"""The comparison of all defenses: tables, page, MLflow. It trains and attacks nothing.

Command:  python -m pipeline.stages.evaluate
Reads:    artifacts/prepare/, artifacts/attack/, artifacts/examine/, artifacts/<every defense>/,
          artifacts/<every risk>/ that has a stage of its own
Writes:   artifacts/evaluate/: report.html, summary.txt, metrics.json, the tables that
          docs/results.md lists, plots/; results/<data set>/: the few figures and curves that may
          lie in git
"""

from pipeline.config import BASELINE, Config
from pipeline.files import folder
from pipeline.models.population import deployed, load_population
from pipeline.report.published import RESULTS, keep_out_of_git, write_published
from pipeline.report.write import write_evaluation
from pipeline.risks.results import draw_up_all
from pipeline.risks.risk import Context, Sources
from pipeline.stages import ARTIFACTS, STAGE_OF, prepared, run
from pipeline.tracking.runs import Evaluated, log_evaluations
from pipeline.tracking.store import open_store


def evaluate_everything(cfg: Config) -> str:
    """The stage."""
    open_store(cfg)  # before the work, so that an unreachable server costs no one a minute
    dataset, _ = prepared()
    examined = {BASELINE: ARTIFACTS / "attack"} | {
        name: ARTIFACTS / "examine" / name for name in cfg.examine
    }
    populations = {name: load_population(ARTIFACTS / STAGE_OF.get(name, name)) for name in examined}
    models = {name: one.digest for name, one in populations.items()}
    releases = {name: deployed(one).digest for name, one in populations.items()}
    sources, context, out = (
        Sources(examined, ARTIFACTS),
        Context(dataset, cfg, models=models, releases=releases),
        ARTIFACTS / "evaluate",
    )
    results = draw_up_all(sources, context)
    with folder(out) as unfinished:
        write_evaluation(results, context, unfinished)
    keep_out_of_git()
    with folder(RESULTS / cfg.data.name) as unfinished:
        write_published(results, context, unfinished)
    log_evaluations(Evaluated(results, context, out, examined, populations))
    measured = sum(bool(tables) for tables in results.values())
    return f"{len(examined)} defenses, {measured} risks: {out}, {RESULTS / cfg.data.name}"


if __name__ == "__main__":
    run(evaluate_everything)
