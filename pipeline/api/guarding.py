"""The verbs of the guard, in the order of their help."""

import argparse
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from pipeline.api.verb import Parser, Verb
from pipeline.files import BadInput

Call = Callable[..., int]


def serving(call: Call, ready: Callable[[], Path]) -> dict[str, Verb]:
    """The verbs.

    Args:
        call: runs a module of Python's in a folder and waits for it.
        ready: the project or checkout that we are in.
    """

    def serve(given: argparse.Namespace) -> int:
        folder = Path(given.folder) if given.folder else None
        if given.as_it_is:
            from pipeline.kernels import fix_kernels

            fix_kernels()  # before torch and NumPy, in the process that serves
            folder = folder or folder_here()
        else:
            from pipeline.gate.handing_over import make_ready

            line, folder = make_ready(
                given.overrides, given.audit, given.champion, given.release, folder
            )
            print(line, flush=True)
        from pipeline.serving.place import founded, note_served, sealing
        from pipeline.serving.served import Served, digest_of

        served = Served.load(folder)
        policy = served.policy
        for line in founded(folder, _now()):
            print(line, flush=True)
        sealing(folder, policy)  # refused now rather than at the first request
        note_served(folder, served, digest_of(folder), _now())
        if given.no_start:
            return 0
        print(f"http://{policy.host}:{policy.port}/live; Ctrl-C ends it", flush=True)
        if given.as_it_is:  # there may be no project here
            from pipeline.serving.server import run_server

            run_server(folder)
            return 0
        return call(ready(), "pipeline.serving", str(folder.resolve()))

    return {
        "serve": Verb(
            serve,
            "Serves the release of a passed audit behind the guard.",
            "medsecure serve serving.r=0.1",
            _serve_arguments,
            "It answers what is proved at the radius r and refers everything else to a person;\n"
            "every answer stands in its log before it leaves.",
            mixed=True,
        ),
        **CONSOLE,
    }


def _now() -> datetime:
    return datetime.now(UTC)


def _serve_arguments(parser: Parser) -> None:
    add = parser.add_argument
    add("overrides", nargs="*", metavar="key=value", help="serving.* and gate.*, for this call")
    add("--audit", metavar="FILE", help="an audit.json; that of the last run, if not given")
    add("--champion", metavar="FILE", help="the audit.json of what is in use, for its gates")
    add("--release", metavar="FOLDER", help="of the model; MLflow's, if not given")
    add("--no-start", action="store_true", help="make the folder and stop there")
    add("--as-it-is", action="store_true", help="serve the folder as it was made, of no project")
    _folder(parser)


def _folder(parser: Parser) -> None:
    said = "of the guard; the project's serving.folder, if not given, or else ./guard"
    parser.add_argument("--folder", metavar="FOLDER", help=said)


def _of(given: argparse.Namespace) -> Path:
    return Path(given.folder) if given.folder else folder_here()


def folder_here() -> Path:
    """The folder of the guard: that of the project that we stand in, or else ./guard.

    Raises:
        BadInput: the project's `conf/` cannot be composed.
    """
    import yaml

    from pipeline.project.composition import compose
    from pipeline.project.place import found

    root = found()
    if root is None:
        return Path("guard")
    try:
        serving = yaml.safe_load(compose([], root / "conf")).get("serving") or {}
    except BadInput as error:
        raise BadInput(f"{error}; --folder FOLDER asks no conf") from error
    return root / str(serving.get("folder", "guard"))


# ---- stop and start ----


def _stop(given: argparse.Namespace) -> int:
    from pipeline.serving.console import stop

    print(stop(_of(given), given.reason, _now()))
    return 0


def _start(given: argparse.Namespace) -> int:
    from pipeline.serving.console import start

    print(start(_of(given), given.reason, _now()))
    return 0


def _reason(parser: Parser) -> None:
    parser.add_argument("--reason", required=True, metavar="TEXT", help="it stands in the log")
    _folder(parser)


# ---- keys ----


def _key(given: argparse.Namespace) -> int:
    from pipeline.serving import console
    from pipeline.serving.keys import Role

    folder, name = _of(given), given.name
    if given.what == "list":
        print("\n".join(console.list_keys(folder)) or "no key was issued")
        return 0
    if not name:
        raise BadInput(f"medsecure key {given.what}: {NEEDED[given.what]} is missing")
    if given.what == "new":
        if given.role not in set(Role) - {Role.GUARD}:
            known = ", ".join(one for one in Role if one != Role.GUARD)
            raise BadInput(f"--role: must be one of {known}, not {given.role or 'nothing'}")
        token = console.new_key(folder, name, Role(given.role), given.days, _now())
        print(f"{token}\nshown this once; {name} sends it as `Authorization: Bearer <key>`")
    elif given.what == "revoke":
        console.revoke_key(folder, name, _now())
        print(f"{name}: revoked")
    else:
        public = console.new_auditor(folder, Path(name), _now())
        print(f"{name}: a new private key; take it away from this machine, and keep it secret")
        print(f"records are sealed for {public} from the next start on")
    return 0


NEEDED = {"new": "the client's name", "revoke": "the key's id", "auditor": "a new file"}


def _key_arguments(parser: Parser) -> None:
    add = parser.add_argument
    add("what", choices=["new", "list", "revoke", "auditor"])
    add("name", nargs="?", help="of the client; the key's id; the auditor's new file")
    add("--role", metavar="ROLE", help="clinician, researcher, monitor, auditor, administrator")
    add("--days", type=int, default=90, help="until it expires (default: 90)")
    _folder(parser)


# ---- log ----


def _log(given: argparse.Namespace) -> int:
    from pipeline.serving import console

    folder = _of(given)
    if given.what == "verify":
        found = console.faults(folder, given.public, Path(given.heads) if given.heads else None)
        print("\n".join(found) or "intact, up to the last signed head")
        return int(bool(found))
    from pipeline.serving.incident import as_line

    key = Path(given.key) if given.key else None
    span = day(given.since), day(given.until), given.client
    for row, record in console.rows_of(folder, *span, key):
        print(as_line(row, record))
    return 0


def day(text: str | None) -> datetime | None:
    """A time of the command line: a day or a moment of ISO 8601, UTC unless it says otherwise."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(
            f"{text!r}: expected a time such as 2027-06-30 or 2027-06-30T08:15"
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _span(parser: Parser) -> None:
    add = parser.add_argument
    add("--from", dest="since", metavar="TIME", help="2027-06-30 or 2027-06-30T08:15, UTC")
    add("--to", dest="until", metavar="TIME", help="before this")
    add("--client", metavar="NAME", help="whose")
    add("--key", metavar="FILE", help="an auditor's private key, which opens records")


def _log_arguments(parser: Parser) -> None:
    parser.add_argument("what", choices=["verify", "show"])
    _span(parser)
    parser.add_argument("--public", metavar="HEX", help="the key that signs heads; the folder's")
    parser.add_argument("--heads", metavar="FILE", help="heads that were kept elsewhere")
    _folder(parser)


def _incident(given: argparse.Namespace) -> int:
    from pipeline.kernels import fix_kernels

    fix_kernels()  # as in the process that served: the same bits, of convolutions as well
    from pipeline.serving.incident import investigate

    said, whole = investigate(
        _of(given),
        day(given.since),
        day(given.until),
        given.client,
        Path(given.key) if given.key else None,
        given.r,
        Path(given.out),
    )
    print("\n".join(said))
    return 0 if whole else 1


def _incident_arguments(parser: Parser) -> None:
    _span(parser)
    parser.add_argument("--r", type=float, help="which answers this radius would have referred")
    parser.add_argument("--out", metavar="FOLDER", required=True, help="a new one, for the bundle")
    _folder(parser)


CONSOLE = {
    "stop": Verb(
        _stop,
        "Stops the guard: no answer leaves, in any worker, across restarts.",
        'medsecure stop --reason "false negatives on ward 3"',
        _reason,
    ),
    "start": Verb(
        _start,
        "Starts a stopped guard again: one administrator proposes, another confirms.",
        'medsecure start --reason "the cable is mended"',
        _reason,
        "The key of the administrator is read from MEDSECURE_KEY, so that no list of processes\n"
        "shows it.",
    ),
    "key": Verb(
        _key,
        "Issues, lists and revokes keys of clients; makes the key pair of an auditor.",
        'medsecure key new "ward 3" --role clinician',
        _key_arguments,
        "A key is shown once; its digest alone is kept.",
    ),
    "log": Verb(
        _log,
        "Checks the chain of the guard's log, or shows its rows.",
        "medsecure log verify",
        _log_arguments,
        "Exit status of verify: 0 intact, 1 not; each fault is a line.",
    ),
    "incident": Verb(
        _incident,
        "What was asked in a time, replayed by the same model, and who else is affected.",
        "medsecure incident --from 2027-06-30 --key auditor.key --out incident",
        _incident_arguments,
        "Exit status: 0 every answer is the same again, 1 one is not, 2 a mistake.",
    ),
}
