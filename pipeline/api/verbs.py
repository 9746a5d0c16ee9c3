"""The verbs of the command `medsecure`. What a verb needs is imported after it is known."""

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

from pipeline.api.guarding import serving
from pipeline.api.judging import JUDGING
from pipeline.api.verb import Parser, Verb
from pipeline.files import BadInput, FailedCheck, unheard

QUIET = {
    "DVC_NO_ANALYTICS": "1",
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # seven processes that we have no work for
}
PAGE = Path("artifacts/evaluate/report.html")
ACCEPTED = "data.accept_guesses=true"
STAGED = ("logistic", "adv_train", "distill", "dp_train", "partition")  # with stages of their own


@unheard
def run_verb(arguments: list[str]) -> int:
    """Runs a command line without its program's name; returns the exit status."""
    try:
        if not arguments:
            return _say_next_step()
        name, *rest = arguments
        if name in ("-h", "--help", "help"):
            print(_overview())
            return 0
        if name == "--version":
            from pipeline.project.package import package_version

            print(f"medsecure {package_version()}")
            return 0
        if name not in VERBS:
            from pipeline.validation import nearest

            raise BadInput(f"{name!r} is no verb of medsecure; {nearest(name, VERBS)}")
        return VERBS[name].do(VERBS[name].parsed(name, rest))
    except (BadInput, FailedCheck) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, BadInput) else 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except SystemExit as end:  # of help, or of a command that is called
        return end.code if isinstance(end.code, int) else int(end.code is not None)


def _overview() -> str:
    lines = [f"  {name:8}{verb.what}" for name, verb in VERBS.items()]
    examples = [f"  {verb.example}" for verb in VERBS.values()]
    return "\n".join(
        [
            "usage: medsecure [verb] [...]",
            "",
            "How a clinical model breaks, which defense helps, what it costs, how sure that is.",
            "Without a verb: what to do next. `medsecure <verb> -h` says more.",
            "",
            *lines,
            "",
            "examples:",
            *examples,
        ]
    )


# ---- where we are ----


def _root() -> Path:
    """The project or checkout.

    Raises:
        BadInput: there is none.
    """
    from pipeline.project.place import found

    root = found()
    if root is None:
        raise BadInput(
            "no project here nor in a folder above; `medsecure init cohort.csv --target COLUMN`"
            " makes one"
        )
    return root


def _say_next_step() -> int:
    from pipeline.project.place import found

    print(_next_step(found()))
    return 0


def _next_step(root: Path | None) -> str:
    """What somebody would sensibly do now."""
    if root is None:
        said, steps = "No project here. Make one of a table of patients:", [VERBS["init"].example]
    elif not (root / PAGE).exists():
        said = f"{root.name}: nothing was run yet. A first look in minutes, then the whole:"
        steps = ["medsecure run experiment=smoke", "medsecure run"]
    else:
        said = f"{root.name}: there are results. Look at them, and compare runs:"
        steps = ["medsecure report", "medsecure ui"]
    return "\n".join([said, *(f"  {step}" for step in steps), "`medsecure -h` lists every verb."])


# ---- other programs ----


def _call(root: Path, module: str, *arguments: str) -> int:
    """Runs a module of Python's in the root and waits for it, also while somebody presses Ctrl-C.

    In a checkout its own code runs, else that of the installed package. Returns the exit status.
    """
    from pipeline.project.place import is_project

    environment = QUIET | os.environ
    programs = os.path.dirname(sys.executable)  # where `python` and `dvc` of this environment lie
    environment["PATH"] = os.pathsep.join([programs, environment.get("PATH", os.defpath)])
    safe = ["-P"]
    if not is_project(root):
        own = [str(root), *filter(None, [environment.get("PYTHONPATH")])]
        environment["PYTHONPATH"], safe = os.pathsep.join(own), []
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        status = subprocess.call(
            [sys.executable, *safe, "-m", module, *arguments], cwd=root, env=environment
        )
    finally:
        signal.signal(signal.SIGINT, before)
    return 128 - status if status < 0 else status


# ---- verbs ----


def _init(given: argparse.Namespace) -> int:
    from pipeline.cohort.command import init

    return init(**vars(given))


def _check(given: argparse.Namespace) -> int:
    from pipeline.cohort.command import check

    return check(**vars(given))


def _sign(given: argparse.Namespace) -> int:
    from pipeline.cohort.sign import sign_scans

    return sign_scans(**vars(given))


def _ready() -> Path:
    """The root; a project takes note there of the package that is installed."""
    from pipeline.project.founding import renew
    from pipeline.project.place import is_project

    root = _root()
    if is_project(root):
        for line in renew(root):
            print(line, flush=True)
    return root


def _asked(given: argparse.Namespace) -> list[str]:
    """The overrides of a call, `--accept-guesses` among them."""
    return [*given.overrides, *([ACCEPTED] if given.accept_guesses else [])]


def _check_staged(overrides: list[str]) -> None:
    """Refuses what chooses none of a recipe that has stages: DVC would end in the midst of them."""
    import yaml

    from pipeline.project.composition import compose

    chosen = yaml.safe_load(compose(overrides))
    if missing := [name for name in STAGED if name not in chosen]:
        raise BadInput(
            f"run: {', '.join(missing)}: not chosen, and `dvc.yaml` has a stage of each; "
            "`medsecure sweep` with the same settings trains what is chosen alone"
        )


def _run(given: argparse.Namespace) -> int:
    from pipeline.project.composition import jobs

    if (count := len(jobs(_asked(given)))) > 1:
        raise BadInput(f"run: these are {count} runs; `medsecure sweep` takes several values")
    root = _ready()
    if any(one.startswith("defense=") for one in _asked(given)):
        return _call(root, "pipeline", *_asked(given))
    _check_staged(_asked(given))
    if status := _call(root, "pipeline.params", *_asked(given)):
        return status
    if (root / "data.dvc").exists() and not (root / "data" / "pima.csv").exists():
        _call(root, "dvc", "pull", "--remote", "repository", "data.dvc")
    # DVC would wrap a line that refuses the cohort in its own
    if status := _call(root, "pipeline.stages.prepare", "--check"):
        return status
    if status := _call(root, "dvc", "repro"):  # which has its own numbers for what failed
        return status if status > 128 and status < 255 else 1
    return _call(root, "pipeline.report")


def _sweep(given: argparse.Namespace) -> int:
    return _call(_ready(), "pipeline", "-m", *_asked(given))


def _audit(given: argparse.Namespace) -> int:
    from pipeline.api.auditing import asked_for

    root = _ready()
    return _call(root, "pipeline", *asked_for(given), *_asked(given))


def _report(given: argparse.Namespace) -> int:
    root = _root()
    status = _call(root, "pipeline.report", *_export_options(given))
    if not status and given.open:
        import webbrowser

        webbrowser.open((root / PAGE).as_uri())
    return status


def _export_options(given: argparse.Namespace) -> list[str]:
    """As `python -m pipeline.report` takes them, from wherever the command was called."""
    if given.export is None:
        return []
    options = ["--export", os.path.abspath(given.export), "--for", given.cut]
    options += ["--patients", given.patients, f"--signed-by={given.signed_by}"]
    return [*options, *(["--overwrite"] if given.overwrite else [])]


def _ui(given: argparse.Namespace) -> int:
    from pipeline.api.browser import open_when_ready
    from pipeline.tracking.pages import addresses
    from pipeline.tracking.store import shown, tracking_uri

    root, store = _root(), shown(tracking_uri())
    served = store.startswith(("http://", "https://"))  # by somebody else already
    server = store.rstrip("/") if served else f"http://127.0.0.1:{given.port}"
    found = addresses(server)
    for what, address in found.items():
        print(f"{what + ':':9} {address}")
    if not served:
        print(f"MLflow at {server}; Ctrl-C ends it", flush=True)
    if given.open:
        open_when_ready(server, next(iter(found.values())))
    if served:
        return 0
    where = ("--host", "127.0.0.1", "--port", str(given.port), "--backend-store-uri", store)
    return _call(root, "mlflow", "server", "--workers", "1", *where)


# ---- their command lines ----


def _overrides(parser: Parser) -> None:
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="in Hydra's syntax, for this call alone"
    )
    parser.add_argument(
        "--accept-guesses",
        action="store_true",
        help="run although nobody has signed the proposed schema; every page says so",
    )


def _init_arguments(parser: Parser) -> None:
    add = parser.add_argument
    add("file", help="the cohort: CSV (also .gz), Parquet or XLSX; it stays where it is")
    add("--target", required=True, metavar="COLUMN", help="the column of the diagnosis")
    add("--positive", metavar="VALUE", action="append", default=[], help="what it says of the ill")
    add("--group", metavar="COLUMN", help="whose record it is, where patients have several")
    add("--site", metavar="COLUMN", help="the hospital")
    add("--time", metavar="COLUMN", help="the date")
    add("--dictionary", metavar="FILE", help="a REDCap data dictionary, or a code book as CSV")
    add("--name", help="of the data set; as the file, if not given")
    add("--words", metavar="DATA", help="of another sector: the words of credit, intrusion or wine")


def _check_arguments(parser: Parser) -> None:
    parser.add_argument("file", help="a later file of the same cohort")
    parser.add_argument(
        "--data", metavar="NAME", help="of the schema in conf/data/; the project's, if not given"
    )


def _sign_arguments(parser: Parser) -> None:
    add = parser.add_argument
    add("manifest", help="the file to write; it is treated as the cohort is")
    add("--key", required=True, metavar="FILE", help="the private key; made where there is none")
    add("--data", metavar="NAME", help="of the schema in conf/data/; the project's, if not given")
    add("--pixels-only", action="store_true", help="leave out labels and what else is said")


def _audit_arguments(parser: Parser) -> None:
    from pipeline.api.auditing import add_arguments

    add_arguments(parser)
    _overrides(parser)


def _report_arguments(parser: Parser) -> None:
    from pipeline.report.__main__ import add_export

    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    add_export(parser)


def _ui_arguments(parser: Parser) -> None:
    parser.add_argument("--port", type=int, default=5000, help="of 127.0.0.1 (default: 5000)")
    parser.add_argument(
        "--no-open",
        dest="open",
        action="store_false",
        help="print the addresses alone; so it is where there is no screen",
    )


VERBS = {
    "init": Verb(
        _init,
        "Makes a project of a table of patients: schema, data card, questions, stages.",
        "medsecure init cohort.csv --target readmitted --positive yes",
        _init_arguments,
        "In a checkout only the schema and its pages. Nothing is ever overwritten.",
    ),
    "run": Verb(
        _run,
        "Runs every stage that changed (DVC), then prints the comparison.",
        "medsecure run experiment=smoke",
        _overrides,
        "params.yaml is composed anew from conf/ and the overrides of this call.\n"
        "With `defense=NAME` that recipe alone, in one process, into sweeps/ and MLflow:\n"
        "  medsecure run defense=adv_train adv_train.eps=0.2",
    ),
    "audit": Verb(
        _audit,
        "Audits a model that is deployed already, as it is.",
        "medsecure audit --model ward.skops --trained-on training.csv",
        _audit_arguments,
        "Nothing is trained and nothing is unpickled. What such a model cannot be asked, it says.",
    ),
    "sweep": Verb(
        _sweep,
        "Runs recipes for every combination of values; what is done is not done again.",
        "medsecure sweep defense=baseline,adv_train seed=0,1",
        _overrides,
    ),
    "report": Verb(
        _report,
        "Prints the comparison of the last run, and where its page lies.",
        "medsecure report --open",
        _report_arguments,
        "With --export the report is written to be handed on, dated, with a line to sign:\n"
        "  medsecure report --export handover --for privacy",
    ),
    **JUDGING,
    **serving(_call, _root),
    "ui": Verb(
        _ui,
        "Opens MLflow's table of runs: which defense, at what cost.",
        "medsecure ui --port 5001",
        _ui_arguments,
        "Prints its address, that of its charts, and of a page that compares the newest runs.",
    ),
    "check": Verb(
        _check,
        "Holds a later file against the schema; names every fault at once.",
        "medsecure check cohort_2027.csv",
        _check_arguments,
    ),
    "sign": Verb(
        _sign,
        "Signs the digests of scans at their source, so that a changed one is refused.",
        "medsecure sign data/local/manifest.json --key ~/ward.key --data ward",
        _sign_arguments,
        "The key is made where there is none, outside the project. Nothing is ever overwritten.",
    ),
}
