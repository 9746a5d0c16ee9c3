"""Where to look: the addresses of the experiment that was logged to last."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipeline.tracking.store import quiet, readable_errors, store_to_look_at, tracking_uri
from pipeline.tracking.views import TAG, compare_address, runs_address

if TYPE_CHECKING:
    from mlflow.entities import Run

MOST = 12  # runs that one page compares
PARENTS = 500  # of the newest runs, among which they are looked for


def addresses(server: str) -> Mapping[str, str]:
    """What there is to see -> its address below that of a server of this store.

    The runs compared are the newest of each name, at most a dozen: not those within another run,
    and of more than a dozen names first those that no other surpasses in every figure.

    Raises:
        BadInput: nothing was logged yet, or the store cannot be read.
    """
    store_to_look_at()
    quiet()
    with readable_errors():
        import mlflow

        mlflow.set_tracking_uri(tracking_uri())
        client = mlflow.MlflowClient()
        places = [one.experiment_id for one in client.search_experiments() if TAG in one.tags]
        runs = client.search_runs(
            places,
            "tags.run_key != '' and attributes.status = 'FINISHED'",
            max_results=PARENTS,
            order_by=["attributes.start_time DESC"],
        )
    if not runs:
        return {"MLflow": server}
    experiment = runs[0].info.experiment_id
    newest: dict[str, Run] = {}
    for run in runs:
        if run.info.experiment_id == experiment:
            newest.setdefault(run.info.run_name, run)
    told = list(newest.values())
    if len(told) > MOST:
        told.sort(key=lambda run: run.data.tags.get("pareto_front") != "yes")
    few = [run.info.run_id for run in told[:MOST]][::-1]
    found = {
        "Runs": runs_address(server, experiment),
        "Charts": runs_address(server, experiment, charts=True),
    }
    compared = {"Compare": compare_address(server, experiment, few)} if len(few) > 1 else {}
    return found | compared
