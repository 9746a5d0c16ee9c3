"""Real servers on loopback, for tests and measurements: PostgreSQL, S3 by rclone, MLflow on both.

They live in a folder of their own, as nobody's services, and end with the block. Every secret is
made up on the spot and travels in the environment or in a file of mode 600: never in a command.
"""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from socket import create_connection, socket
from tempfile import TemporaryDirectory
from urllib.request import urlopen

UP_S, DOWN_S = 90, 20  # seconds until a server answers, until it is gone
DATABASES = ("/usr/lib/postgresql", "/usr/pgsql", "/opt/homebrew/opt/postgresql")
PACKAGES = ("psycopg", "boto3", "dvc_s3")
OWNER, BUCKET = "medsecure", "mlflow"
# 14 processes without it; nothing here schedules a job of MLflow's
LEAN = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}


@dataclass(frozen=True)
class Database:
    """A PostgreSQL of its own.

    Attributes:
        place: its folder.
        port: of the loopback address.
        password: opens it.
    """

    place: Path
    port: int
    password: str = field(repr=False)

    @property
    def address(self) -> str:
        """As SQLAlchemy takes it; it holds the password."""
        return f"postgresql+psycopg://{OWNER}:{self.password}@127.0.0.1:{self.port}/postgres"

    def ask(self, question: str) -> list[tuple]:
        """What the database answers."""
        import psycopg

        with psycopg.connect(self.address.replace("+psycopg", "")) as connection:
            return connection.execute(question).fetchall()

    @contextmanager
    def away(self) -> Iterator[None]:
        """Is lost at once, as with its power; with the end of the block it is back."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def start(self) -> None:
        """Lets it listen."""
        listens = f"-c listen_addresses=127.0.0.1 -p {self.port}"
        listens += f" -c unix_socket_directories={self.place}"
        self.control("start", "-l", self.place / "log", "-o", listens)

    def stop(self) -> None:
        """Ends it without a word to whoever is connected."""
        self.control("stop", "-m", "immediate")

    def control(self, *asked: str | Path) -> None:
        """Asks PostgreSQL to start or to stop."""
        as_owner(self.place, "pg_ctl", "-D", self.place / "data", "-w", *asked)


@dataclass(frozen=True)
class Store:
    """An S3 of its own.

    Attributes:
        endpoint: its address.
        env: what its clients are told, secrets among it.
        root: where its buckets lie as folders.
    """

    endpoint: str
    env: Mapping[str, str] = field(repr=False)
    root: Path


@dataclass(frozen=True)
class Team:
    """All three.

    Attributes:
        tracking: the address of MLflow's server.
        database: below it.
        store: likewise.
        home: the folder of all, with their logs.
    """

    tracking: str
    database: Database
    store: Store
    home: Path

    @property
    def secrets(self) -> list[str]:
        """What must be seen nowhere."""
        return [self.database.password, self.store.env["AWS_SECRET_ACCESS_KEY"]]


def postgres_command(name: str) -> str | None:
    """The newest PostgreSQL's own command; Debian keeps those of a server off the path."""
    found = [path for place in DATABASES for path in Path(place).glob(f"*/bin/{name}")]
    newest = max(found, key=lambda path: float(path.parts[-3]), default=None)
    return str(newest) if newest else shutil.which(name)


def rclone_command() -> str | None:
    """The rclone that `RCLONE` names, or the path, if it can serve S3: before 1.65 none can."""
    found = os.environ.get("RCLONE") or shutil.which("rclone")
    if found and shutil.which(found):
        asked = subprocess.run([found, "serve", "s3", "--help"], capture_output=True, check=False)
        return found if b"--auth-key" in asked.stdout else None
    return None


def why_absent() -> str:
    """What lacks for a team's servers; empty = nothing."""
    lacks = [name for name in PACKAGES if find_spec(name) is None]
    lacks += ["PostgreSQL"] * (postgres_command("initdb") is None)
    lacks += ["rclone 1.65"] * (rclone_command() is None)
    return f"needs {', '.join(lacks)}: see docs/team.md" if lacks else ""


@contextmanager
def team(workers: int = 2) -> Iterator[Team]:
    """MLflow's server on PostgreSQL and S3.

    Args:
        workers: processes of the server.
    """
    with ExitStack() as stack:
        home = Path(stack.enter_context(TemporaryDirectory(prefix="medsecure-team-")))
        home.chmod(0o711)  # PostgreSQL refuses to be root, and must reach its own folder
        database = stack.enter_context(postgres(home / "database"))
        store = stack.enter_context(s3(home / "buckets"))
        (store.root / BUCKET).mkdir()
        told = {"MLFLOW_BACKEND_STORE_URI": database.address, **store.env}
        place = f"s3://{BUCKET}"
        address = stack.enter_context(mlflow(told, place, home, workers))
        yield Team(address, database, store, home)


@contextmanager
def postgres(place: Path) -> Iterator[Database]:
    """A new database that listens on loopback, and is gone with its files."""
    found = Database(place, free_port(), secrets.token_urlsafe(24))
    place.mkdir()
    word = place / "password"
    word.touch(0o600)
    word.write_text(found.password)
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        for path in (place, word):
            os.chown(path, user.pw_uid, user.pw_gid)
    made = ["-D", place / "data", "-A", "scram-sha-256", "-U", OWNER, f"--pwfile={word}", "-k"]
    as_owner(place, "initdb", *made)
    word.unlink()
    found.start()
    try:
        yield found
    finally:
        found.stop()


def as_owner(place: Path, name: str, *options: str | Path) -> None:
    """Runs a command of PostgreSQL, which refuses to be root."""
    owner = ("runuser", "-u", "postgres", "--") if os.geteuid() == 0 else ()
    command = [*owner, postgres_command(name), *options]
    subprocess.run(command, stdout=subprocess.DEVNULL, cwd=place, check=True)


@contextmanager
def s3(root: Path) -> Iterator[Store]:
    """An S3 whose buckets are folders, and which refuses whoever has another key."""
    root.mkdir()
    key, secret = secrets.token_hex(10), secrets.token_urlsafe(30)
    where = f"127.0.0.1:{free_port()}"
    clients = {
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": f"http://{where}",
        "MLFLOW_S3_ENDPOINT_URL": f"http://{where}",
    }
    command = [rclone_command(), "serve", "s3", "--addr", where, str(root)]
    own = {"RCLONE_AUTH_KEY": f'"{key},{secret}"', "RCLONE_CONFIG": os.devnull}  # a list of pairs
    own["RCLONE_DIR_CACHE_TIME"] = "1s"  # or a bucket that comes back is not seen for minutes
    with running(command, own, root.with_name("s3.log")) as process:
        until(process, lambda: create_connection(where.split(":"), 1).close())
        yield Store(f"http://{where}", clients, root)


@contextmanager
def mlflow(told: Mapping[str, str], artifacts: str, home: Path, workers: int = 2) -> Iterator[str]:
    """MLflow's server on loopback; yields its address.

    Args:
        told: the environment beside this process's: `MLFLOW_BACKEND_STORE_URI`, keys of S3.
        artifacts: where they go.
        home: for its log.
        workers: processes.
    """
    port = free_port()
    where = ["--host", "127.0.0.1", "--port", str(port), "--workers", str(workers)]
    command = [sys.executable, "-m", "mlflow", "server", *where]
    command += ["--artifacts-destination", artifacts]
    with running(command, {**LEAN, **told}, home / "mlflow.log") as process:
        until(process, lambda: urlopen(f"http://127.0.0.1:{port}/health", timeout=5).read())
        yield f"http://127.0.0.1:{port}"


@contextmanager
def running(command: list[str], told: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen]:
    """A process and its children, in a group that ends with the block."""
    kept = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, env={**kept, **told}, stdout=out, stderr=out, start_new_session=True
        )
    try:
        yield process
    except TimeoutError as error:
        raise TimeoutError(log.read_text(errors="replace")[-2000:]) from error
    finally:
        for sign in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(process.pid, sign)
                process.wait(DOWN_S)


def until(process: subprocess.Popen, answers: Callable[[], object]) -> None:
    """Waits until a server answers.

    Raises:
        TimeoutError: it does not.
    """
    end = time.monotonic() + UP_S
    while time.monotonic() < end and process.poll() is None:
        with suppress(OSError):
            answers()
            return
        time.sleep(0.1)
    raise TimeoutError("no answer")


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
