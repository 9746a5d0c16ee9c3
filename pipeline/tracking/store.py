"""MLflow's store: where it lies, many openers at once, and one line when it is out of reach."""

import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from pipeline.config import Config
from pipeline.files import BadInput, repository_root

PARENT_TAG = "mlflow.parentRunId"
JOB = "job_key"  # tag: by what a job was claimed, `pipeline.sweep.keys.run_key`
ARTIFACTS = "mlartifacts"  # the folder of the repository's own store
DATABASES = ("postgres", "mysql", "mssql")  # beginnings of addresses that only a server may open
# Where a store holds whole paths of artifacts: table and column.
PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
    ("model_versions", "source"),
)
# What is wrong with a server -> how MLflow's client says so, at great length.
SIGNS = {
    "it fails itself; its log says whether its database or its bucket is away": (
        r"too many 5\d\d error responses|error code 5\d\d|Connection aborted"
    ),
    "it refuses the name and the password; MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD "
    "hold them": r"error code 40[13]",
    "it does not answer in time; its database may be away": r"ReadTimeout|Read timed out",
    "nobody answers there": r"NewConnectionError|NameResolutionError|ConnectTimeout",
}
# MLflow waits minutes for a server that is not there, and asks the network for nothing we need.
QUIET = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # two lines for each run on a server
}


def tracking_uri() -> str:
    """`MLFLOW_TRACKING_URI` where it is set, else a SQLite file in the repository.

    The repository is the one that DVC was started in, also from its temporary clones.

    Raises:
        BadInput: the address names a file store, which MLflow refuses, or a database: whoever logs
            would need its password, and files would stay where they were made.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{repository_root() / 'mlflow.db'}"
    if uri.startswith("file:") or "://" not in uri:
        raise BadInput(
            f"MLFLOW_TRACKING_URI: {shown(uri)!r} is a file store, which MLflow refuses; "
            "use sqlite:///... or http://..."
        )
    if uri.startswith(DATABASES):
        raise BadInput(
            "MLFLOW_TRACKING_URI: a database, which only MLflow's server may open; "
            "start one on it, and name that (docs/team.md)"
        )
    return uri


def shown(uri: str) -> str:
    """An address of a store without who opens it by which password."""
    if uri.startswith(("sqlite:", "file:")):
        return uri
    return re.sub(r"^([\w+.-]*://)?.*@", r"\1", uri, flags=re.DOTALL).partition("?")[0]


def experiment_name(cfg: Config) -> str:
    """One MLflow experiment per data set."""
    return f"medsecure-{cfg.data.name}"


def open_store(cfg: Config) -> str:
    """Prepares the store and the experiment; returns the experiment's id.

    Creating a SQLite store is not safe in parallel (MLflow's migrations race), so it happens under
    a file lock.

    Raises:
        BadInput: the store cannot be reached or written.
    """
    quiet()
    with readable_errors(), one_writer():
        import mlflow

        follow_the_checkout()
        mlflow.set_tracking_uri(tracking_uri())
        client = mlflow.MlflowClient()
        found = client.get_experiment_by_name(experiment_name(cfg))
        if found is not None:
            return str(found.experiment_id)
        # A server keeps artifacts where it likes; for our own file they must not land in the folder
        # of whoever came first.
        local = tracking_uri().startswith("sqlite:")
        place = (repository_root() / ARTIFACTS).as_uri() if local else None
        return made_once(
            lambda: client.create_experiment(
                experiment_name(cfg), artifact_location=place, tags=experiment_tags(cfg)
            ),
            lambda: client.get_experiment_by_name(experiment_name(cfg)).experiment_id,
        )


def made_once(make: Callable[[], object], find: Callable[[], object]) -> str:
    """Makes what has a name of its own, or finds it where another worker was quicker."""
    from mlflow.exceptions import MlflowException

    try:
        return str(make())
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        return str(find())


def shared() -> bool:
    """Whether workers on other machines may see the store: it is a server's."""
    return not tracking_uri().startswith("sqlite:")


def quiet() -> None:
    """Imports MLflow, which then asks nothing of the network and tells of no migration."""
    import logging

    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    import mlflow  # noqa: F401 - it sets up its loggers anew

    for noisy in ("mlflow", "alembic"):  # migrations and hints, one line each, on every start
        logging.getLogger(noisy).setLevel(logging.ERROR)


def store_to_look_at() -> str:
    """The address of the store, which knows where its models lie, whoever opens it next.

    Raises:
        BadInput: nothing was logged yet, or the store cannot be read.
    """
    uri = tracking_uri()
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists():
        raise BadInput("MLflow: nothing was logged yet; `medsecure run` does that")
    try:
        with one_writer():
            follow_the_checkout()
    except sqlite3.Error as error:
        raise BadInput(f"MLflow at {shown(uri)}: {error}") from error
    return uri


def follow_the_checkout() -> None:
    """Tells a store that was moved or copied with its repository where its models now lie.

    MLflow writes the whole path of every artifact into the store, so that a renamed folder would
    lose its models, and a copy would read those of the original. Only the store of the repository
    itself, `mlflow.db`, is touched; the caller holds the lock.
    """
    root = repository_root()
    database, here = root / "mlflow.db", (root / ARTIFACTS).as_uri()
    if tracking_uri() != f"sqlite:///{database}" or not database.exists():
        return
    with closing(sqlite3.connect(database)) as store, store:
        tables = {name for (name,) in store.execute("select name from sqlite_master")}
        if "experiments" not in tables:
            return
        known = store.execute("select artifact_location from experiments").fetchall()
        ours = {place for (place,) in known if place and place.endswith(f"/{ARTIFACTS}")}
        for old in ours - {here}:
            for table, column in PLACES:
                if table in tables:
                    store.execute(
                        f"update {table} set {column} = ? || substr({column}, ?) "
                        f"where substr({column}, 1, ?) = ?",
                        (here, len(old) + 1, len(old), old),
                    )


def experiment_tags(cfg: Config) -> dict[str, str]:
    """What the page of an experiment opens with."""
    # here, because it knows every risk, and with them every attack: seconds, once in a store's life
    from pipeline.tracking.notes import NOTE, experiment_note

    return {
        # or MLflow 3 opens its page for language-model traces
        "mlflow.experimentKind": "custom_model_development",
        NOTE: experiment_note(cfg.data.title, spoken=cfg.data.spoken),
    }


@contextmanager
def one_writer() -> Iterator[bool]:
    """SQLite has one writer at a time; a queue in front of it is fairer than its time-out.

    Yields:
        whether no other process writes within the block: not so with a server.
    """
    from filelock import FileLock

    uri = tracking_uri()
    if not uri.startswith("sqlite:///"):
        yield False
        return
    path = Path(uri.removeprefix("sqlite:///"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{path}.lock")
        lock.acquire()
    except OSError as error:
        raise BadInput(f"{path}: cannot write ({error.strerror or error})") from error
    try:
        yield True
    finally:
        lock.release()


@contextmanager
def readable_errors() -> Iterator[None]:
    """Turns what MLflow, its server or its database raises into one line."""
    try:
        yield
    except Exception as error:
        import requests
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        if not isinstance(
            error, requests.RequestException | MlflowException | SQLAlchemyError | OSError
        ):
            raise
        raise _unreachable(error) from error


def _unreachable(error: Exception) -> BadInput:
    uri, said = tracking_uri(), " ".join(str(error).split())
    known = (told for told, sign in SIGNS.items() if re.search(sign, said))
    said = re.sub(r"://\S*@", "://", said.replace(uri, shown(uri)))
    return BadInput(
        f"MLflow at {shown(uri)}: {next(known, said[:200])}; the results are on disk, "
        "and MLFLOW_TRACKING_URI names another store"
    )


def find_finished(experiment: str, key: str) -> bool:
    """Whether a run with this key has been logged to its end."""
    import mlflow

    with readable_errors():
        runs = mlflow.MlflowClient().search_runs(
            [experiment],
            f"tags.run_key = '{key}' and attributes.status = 'FINISHED'",
            max_results=1,
        )
    return bool(runs)


def end_unfinished(experiment: str, key: str) -> None:
    """Marks as killed what dead processes left of a run, and its nested runs.

    The caller knows that no living one is at it.
    """
    import mlflow

    client = mlflow.MlflowClient()
    asked = f"tags.run_key = '{key}' and attributes.status = 'RUNNING'"
    for left in client.search_runs([experiment], asked):
        below = f"tags.`{PARENT_TAG}` = '{left.info.run_id}'"
        for one in [left, *client.search_runs([experiment], below)]:
            client.set_terminated(one.info.run_id, "KILLED")


def logged_job(cfg: Config, job: str, parent: str) -> bool:
    """Whether any worker has logged a job below this run to its end."""
    experiment = open_store(cfg)
    import mlflow

    asked = f"tags.{JOB} = '{job}' and tags.`{PARENT_TAG}` = '{parent}'"
    with readable_errors():
        found = mlflow.MlflowClient().search_runs(
            [experiment], f"{asked} and attributes.status = 'FINISHED'", max_results=1
        )
    return bool(found)
