"""`params.yaml`: composed from `conf/`, read back, and checked down to every option.

`python -m pipeline.params [override ...]` writes the same bytes that `dvc exp run` writes.
"""

import re
import sys
from pathlib import Path
from typing import Any

import yaml

from pipeline.config import BASELINE, Config, ModelConfig, check
from pipeline.data.signing import unsigned
from pipeline.defenses import DEFENSES, SET_BY_PROGRAM, refuse_unfit
from pipeline.defenses.kinds import MADE
from pipeline.files import BadInput, repository_root, unheard, write_text, writes_params
from pipeline.models.designs import MODELS, OF_IMAGES, OF_RECORDS
from pipeline.project.composition import compose, jobs
from pipeline.risks import RISKS
from pipeline.validation import check_names, check_options, nearest

SECTIONS = {risk.name: risk.settings for risk in RISKS if risk.settings is not None}


def load(path: Path = Path("params.yaml")) -> Config:
    """Reads and checks `params.yaml`.

    Raises:
        BadInput: the file is missing, cannot be read, is not YAML, or holds a key or a value that
            does not fit.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(f"{path}: not found; run {writes_params()} to write it from conf/") from None
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    return parse(values, str(path))


def parse(values: Any, origin: str) -> Config:
    """Checks a composed configuration, with the sections of risks and the options of defenses.

    Raises:
        BadInput: one line that begins with `origin` and names the key at fault and the nearest
            valid one.
    """
    known = [*Config.model_fields, *SECTIONS, *DEFENSES]
    for name in values if isinstance(values, dict) else ():
        if name not in known:
            raise BadInput(f"{origin}: {name}: unknown key; {nearest(str(name), known)}")
    cfg = check(values, SECTIONS, origin)
    if waiting := unsigned(cfg.data):
        raise BadInput("\n".join(f"{origin}: {line}" for line in waiting))
    _check_model(cfg, origin)
    _check_stages(cfg, origin)
    for risk in RISKS:
        risk.check(cfg, origin)
    for name, options in cfg.defenses.items():
        checked = check_options(DEFENSES[name], options, f"{origin}: {name}", given=SET_BY_PROGRAM)
        threat = checked.get("threat", cfg.audit.headline)
        check_names([threat], cfg.threat, f"{origin}: {name}.threat", "threat model")
    return cfg


def _check_model(cfg: Config, origin: str) -> None:
    """Refuses a model that is not known, is not for such data, or is told what it does not ask."""
    name, where = cfg.model.name, f"{origin}: model"
    check_names([name], [*MODELS, *MADE], f"{where}.name", "model")
    fit, kind = (OF_IMAGES, "images") if cfg.data.image else ([*OF_RECORDS, *MADE], "records")
    check_names([name], fit, f"{where}.name", f"model of {kind}")
    if name in MADE:
        check_options(MADE[name], cfg.model.own, where)
    elif cfg.model.own:
        key, known = next(iter(cfg.model.own)), ModelConfig.model_fields
        raise BadInput(f"{where}.{key}: unknown key; {nearest(key, known)}")


def _check_stages(cfg: Config, origin: str) -> None:
    """Refuses what `dvc.yaml` can make no stage of: a name that is no defense, or one twice."""
    for key, names in (("examine", cfg.examine), ("extra", cfg.extra)):
        check_names(names, DEFENSES, f"{origin}: {key}", "defense")
        refuse_unfit(names, cfg, f"{origin}: {key}: ")
        if BASELINE in names:
            raise BadInput(f"{origin}: {key}: {BASELINE} has stages of its own; leave it out")
        if len(set(names)) < len(names):
            raise BadInput(f"{origin}: {key}: must differ, not {', '.join(names)}")


def configured(overrides: list[str], conf: Path | None = None) -> Config:
    """Composes and checks the configuration of a run.

    Raises:
        BadInput: as for `compose` and `parse`.
    """
    return parse_chosen(compose(overrides, conf), overrides)


def parse_chosen(text: str, overrides: list[str]) -> Config:
    """Checks a composed text, with the defenses that `defense=` chooses, or else all.

    A preset may adjust a defense that the run does not choose; what it leaves behind is no defense.

    Raises:
        BadInput: as for `parse`.
    """
    chosen, values = _chosen(overrides), yaml.safe_load(text)
    kept = {key: value for key, value in values.items() if key not in DEFENSES or key in chosen}
    if any(one.startswith("defense=") for one in overrides):  # by name, and not stage by stage
        kept |= {"examine": [], "extra": []}
    return parse(kept, "conf")


def check_command_line(overrides: list[str]) -> None:
    """Composes and checks every job of a sweep, so that a mistake in the last one costs no hours.

    Raises:
        BadInput: as for `configured`.
    """
    configured_jobs(overrides)


def configured_jobs(overrides: list[str]) -> list[tuple[list[str], Config]]:
    """Every job of a sweep: the overrides that it was given, and its checked configuration.

    An override of a defense that other jobs choose, and this one does not, is nothing to it.

    Raises:
        BadInput: as for `configured`.
    """
    from tqdm import tqdm

    asked = jobs(overrides)
    anybodys = {name for job in asked for name in _chosen(job)}
    usable = [
        tuple(one for one in job if _section(one) not in anybodys - _chosen(job)) for job in asked
    ]
    composed = {
        job: configured(list(job))
        for job in tqdm(
            dict.fromkeys(usable), desc="checking", unit="job", disable=None, leave=False
        )
    }
    return [(job, composed[own]) for job, own in zip(asked, usable, strict=True)]


def _chosen(overrides: list[str]) -> set[str]:
    """The defenses that `defense=` chooses; all of them where it is not there."""
    chosen = set(DEFENSES)
    for override in overrides:
        if override.startswith("defense="):
            chosen = set(re.findall(r"\w+", override.removeprefix("defense=")))
    return chosen


def _section(override: str) -> str:
    return override.lstrip("+~").partition("=")[0].partition(".")[0]


@unheard
def main() -> None:
    """Writes `params.yaml` from `conf/` and the overrides on the command line."""
    if {"-h", "--help"} & {*sys.argv[1:]}:
        print((__doc__ or "").strip())
        return
    try:
        for one in sys.argv[1:]:
            if "=" not in one and not one.startswith("~"):
                raise BadInput(f"command line: {one!r}: expected key=value")
        text = compose(sys.argv[1:])
        parse(yaml.safe_load(text), "conf")
        write_text(repository_root() / "params.yaml", text)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except OSError as error:
        print(f"error: params.yaml: cannot write ({error.strerror})", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
