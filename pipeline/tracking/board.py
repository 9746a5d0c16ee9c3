"""Claims of jobs where a tracking server is all that machines share: notes as runs of MLflow.

Each note is a run of an experiment of its own, `medsecure-claims`, and is deleted with the claim.
What is promised, and how, says `pipeline.sweep.claims`.
"""

import time
from contextlib import suppress
from typing import TYPE_CHECKING
from uuid import uuid4

from pipeline.tracking.release import source_tags
from pipeline.tracking.store import made_once, quiet, readable_errors, tracking_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

EXPERIMENT = "medsecure-claims"
TOLD = {
    "mlflow.experimentKind": "custom_model_development",  # or MLflow 3 opens a page for traces
    "mlflow.note.content": "Who does which job of a sweep at this moment. Empty at rest.",
}
CLAIM, PLACE, LIFE = "claim", "place", "renewed"  # tags of a note


class ServerBoard:
    """Notes as runs that are not finished.

    Attributes:
        place: the digest of the machine and the folder of whoever looks. It holds the claim of that
            folder already: so another note from there is one of a dead worker.
        dead: seconds after which a note that is not renewed is a dead worker's.
    """

    def __init__(self, place: str, dead: float) -> None:
        """A board of the store that is configured; nothing is asked yet."""
        self.place, self.dead = place, dead
        self._experiment = ""
        self._seen: dict[str, tuple[str, float]] = {}

    def others(self, key: str, own: str = "") -> bool:
        """Whether a living worker has a note of this key there, beside `own`.

        Raises:
            BadInput: the server cannot be reached.
        """
        with readable_errors():
            asked = f"tags.{CLAIM} = '{key}' and attributes.status = 'RUNNING'"
            client = self._client()
            notes = client.search_runs([self._experiment], asked)
            return any(self._alive(client, note) for note in notes if note.info.run_id != own)

    def put(self, key: str) -> str:
        """Puts a note there; returns its name.

        Raises:
            BadInput: the server cannot be reached.
        """
        tags = {**source_tags(), CLAIM: key, PLACE: self.place, LIFE: uuid4().hex}
        with readable_errors():
            note = self._client().create_run(self._experiment, run_name=key[:16], tags=tags)
        return str(note.info.run_id)

    def renew(self, note: str) -> None:
        """Shows that whoever put the note is alive."""
        self._client().set_tag(note, LIFE, uuid4().hex)

    def stands(self, note: str) -> bool:
        """Whether the note is still there.

        Raises:
            BadInput: the server cannot be reached.
        """
        with readable_errors():
            return bool(self._client().get_run(note).info.lifecycle_stage == "active")

    def drop(self, note: str) -> None:
        """Takes the note back; one that a server which is away keeps is a dead worker's soon."""
        from mlflow.exceptions import MlflowException

        with suppress(MlflowException):
            self._client().delete_run(note)

    def _alive(self, client: "MlflowClient", note: "Run") -> bool:
        """Whether the worker of a note lives; a dead one's note goes."""
        told, name, now = note.data.tags, note.info.run_id, time.monotonic()
        life, since = self._seen.get(name, ("", now))
        if told.get(PLACE) != self.place:
            if told.get(LIFE, "") != life:
                self._seen[name] = (told.get(LIFE, ""), now)
                return True
            if now - since < self.dead:
                return True
        client.delete_run(name)
        return False

    def _client(self) -> "MlflowClient":
        quiet()
        import mlflow

        client = mlflow.MlflowClient(tracking_uri())
        if not self._experiment:
            known = client.get_experiment_by_name(EXPERIMENT)
            self._experiment = (
                str(known.experiment_id)
                if known
                else made_once(
                    lambda: client.create_experiment(EXPERIMENT, tags=TOLD),
                    lambda: client.get_experiment_by_name(EXPERIMENT).experiment_id,
                )
            )
        return client
