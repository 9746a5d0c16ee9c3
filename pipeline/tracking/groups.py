"""A sweep in MLflow: one run for the whole, and below it the runs of its jobs.

The run is opened before the first job, so that jobs can be seen as they end, and is found again by
the key of the sweep: a sweep that was stopped goes on in the same run.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config import Config
from pipeline.presentation import SCHEMA_VERSION
from pipeline.tracking.artifacts import KINDS
from pipeline.tracking.keys import safe_key
from pipeline.tracking.release import source_tags
from pipeline.tracking.store import PARENT_TAG, one_writer, open_store, readable_errors

GROUP, CONCLUDED = "sweep_key", "sweep_concluded"  # tags: which sweep it is, what it last said
SAID = ("better", "worse", "best", "pareto_front")  # tags of a job's run
TITLE = "mlflow.runName"

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


@dataclass(frozen=True)
class Group:
    """A sweep.

    Attributes:
        key: the digest of what its jobs are.
        name: of its run.
        params: what varies -> its values, and what all jobs have in common.
    """

    key: str
    name: str
    params: Mapping[str, str]


def open_group(cfg: Config, group: Group) -> str:
    """The run of a sweep, which is made where there is none.

    Returns:
        its id.

    Raises:
        BadInput: the store cannot be reached or written.
    """
    experiment = open_store(cfg)
    import mlflow

    with readable_errors(), one_writer():
        client = mlflow.MlflowClient()
        found = client.search_runs([experiment], f"tags.{GROUP} = '{group.key}'", max_results=1)
        if found:
            return str(found[0].info.run_id)
        tags = {
            **source_tags(),
            GROUP: group.key,
            "data": cfg.data.name,
            "schema_version": str(SCHEMA_VERSION),
        }
        run_id = str(client.create_run(experiment, run_name=group.name, tags=tags).info.run_id)
        for key, value in group.params.items():
            client.log_param(run_id, safe_key(key), value)
        return run_id


def conclude_group(
    cfg: Config, run_id: str, digest: str, said: Mapping[str, Mapping[str, str]], folder: Path
) -> None:
    """Logs what a sweep says at its end; the same is not logged twice.

    Args:
        cfg: whose store it is.
        run_id: of the sweep.
        digest: of what it says.
        said: `run_key` of a job's run -> its name (`TITLE`), and what was concluded of the job, as
            tags; of `SAID` what is missing was not concluded.
        folder: where its page and its tables lie; none of them shows a patient.

    Raises:
        BadInput: the store cannot be reached or written.
    """
    experiment = open_store(cfg)
    import mlflow

    with readable_errors(), one_writer():
        client = mlflow.MlflowClient()
        if client.get_run(run_id).data.tags.get(CONCLUDED) == digest:
            return
        for key, words in said.items():
            own = f"tags.run_key = '{key}' and tags.`{PARENT_TAG}` = '{run_id}'"
            for run in client.search_runs([experiment], own):
                _say(client, run, words)
                below = f"tags.`{PARENT_TAG}` = '{run.info.run_id}'"
                for point in client.search_runs([experiment], below):
                    setting = str(point.info.run_name).removeprefix(str(run.info.run_name))
                    _say(client, point, {**words, TITLE: f"{words[TITLE]}{setting}"})
        for file in sorted(folder.rglob("*")):
            if file.suffix in KINDS:
                place = file.relative_to(folder).parent
                client.log_artifact(run_id, str(file), None if place == Path() else str(place))
        client.set_tag(run_id, CONCLUDED, digest)
        client.set_terminated(run_id)


def _say(client: "MlflowClient", run: "Run", words: Mapping[str, str]) -> None:
    """Tags of a run as they are now concluded; what no longer is goes."""
    for name, text in words.items():
        client.set_tag(run.info.run_id, name, text)
    for name in SAID:
        if name in run.data.tags and name not in words:
            client.delete_tag(run.info.run_id, name)
