"""What the guard may serve: the audited release of gates that are passed, and nothing else.

The gates are judged anew, here, where attacks may be imported; the folder that this makes is all
that the serving process reads.
"""

from pathlib import Path

from pipeline.config import Config, ThreatConfig
from pipeline.config.serving import ServingConfig
from pipeline.data.schema import SCHEMA, load_schema, save_schema
from pipeline.data.threat import Threat
from pipeline.files import BadInput, folder, repository_root
from pipeline.gate.audits import Audit
from pipeline.gate.command import GROUP, judged_of, refuse_others
from pipeline.gate.gates import Judged
from pipeline.gate.rehearsal import POPULATION, rehearsed_by, rehearsed_in
from pipeline.gate.status import trained_in
from pipeline.gate.written import as_lines
from pipeline.models.population import Foreign, deployed, load_population
from pipeline.params import configured
from pipeline.serving.served import RELEASE, Served
from pipeline.tracking.released import fetch_release
from pipeline.validation import checked_model


def make_ready(
    overrides: list[str],
    audit: str | None,
    champion: str | None,
    release: str | None,
    place: Path | None,
) -> tuple[str, Path]:
    """Judges the gates and makes the folder; a line, and the folder.

    Args:
        overrides: of the sections `serving` and `gate`, in Hydra's syntax.
        audit: an `audit.json` or its folder; None = that of the last run.
        champion: the audit of what is in use; None = as configured.
        release: the folder of the model; None = it is fetched from MLflow.
        place: the folder; None = as configured.

    Raises:
        BadInput: a mistake, or the model may not be served.
    """
    refuse_others(overrides, "serving", GROUP)
    cfg = configured(overrides)
    policy = policy_of(cfg)
    asked = cfg.gate.model_copy(update={"defense": policy.defense or cfg.gate.defense})
    judged, read = judged_of(asked, audit, champion, None, {})
    folder = place or repository_root() / policy.folder
    return hand_over(cfg, read, judged, Path(release) if release else None, folder), folder


def hand_over(cfg: Config, audit: Audit, judged: Judged, release: Path | None, place: Path) -> str:
    """Makes or renews what a folder serves; its log and keys stay.

    Args:
        cfg: the configuration, for its policy.
        audit: of the model.
        judged: its gates.
        release: the folder of the model, or of all that its recipe trained, or of an audit's run;
            None = it is fetched from MLflow.
        place: the folder.

    Returns:
        a line.

    Raises:
        BadInput: a gate is not passed, or the model is not the one that was audited.
    """
    policy = policy_of(cfg)
    defense = policy.defense or cfg.gate.defense
    if judged.state != "passed":
        raise BadInput(
            "\n".join(["nothing is served: the gates are not passed", *as_lines(judged)])
        )
    digest, (threat, described) = audit.release_sha256(defense), audit.headline
    if not digest or not described:
        raise BadInput(f"{audit.path}: names no release of {defense}: audit it with this version")
    with folder(place / RELEASE) as unfinished:
        if release is None:
            weights = audit.model_sha256(defense)
            version = fetch_release(audit.cohort, defense, weights, unfinished)
        else:
            version = _copied(release, unfinished)
        model = load_population(unfinished)
        if model.size != 1 or model.digest != digest:
            raise BadInput(
                f"{release or version}: is not the audited release {digest[:12]} of {defense}, but "
                f"{model.digest[:12]}"
            )
    limits = checked_model(ThreatConfig, dict(described), str(audit.path), "threat")
    against = Threat.of(load_schema(place / RELEASE), limits), policy
    models, weights = trained_in(defense), audit.model_sha256(defense)
    honest = rehearsed_in(models.parent, models, weights, *against)
    if honest is None and release is not None:
        honest = rehearsed_by(release.parent, weights, *against)
    served = Served(
        audit.cohort,
        defense,
        version,
        digest,
        audit.sha256,
        judged.gate_sha256,
        threat,
        limits,
        policy,
        honest.saved() if honest else {},
        audit.words,
    )
    served.save(place)
    watched = "" if honest else "; no alarms: the audited models lie elsewhere, honest rates too"
    return f"{place}: {version}, {digest[:12]}, r {policy.r:g} ({threat}){watched}"


def _copied(release: Path, unfinished: Path) -> str:
    """The one model of a folder that is deployed, in files of ours alone; what it is called.

    Raises:
        BadInput: it is asked through code that is not ours, or nobody knows its columns.
    """
    model = deployed(load_population(release))
    if isinstance(model, Foreign):
        raise BadInput(
            f"{release}: {model.origin}: its structure is not read"
            f"{f' ({model.unread})' if model.unread else ''}, so that nothing is proved of it and "
            "only its own code could answer; such a model is not served"
        )
    model.save(unfinished)
    prepared = repository_root() / "artifacts" / "prepare"
    save_schema(load_schema(release if (release / SCHEMA).is_file() else prepared), unfinished)
    whole = release.resolve()
    return whole.parent.name if whole.name == POPULATION else whole.name


def policy_of(cfg: Config) -> ServingConfig:
    """The policy.

    Raises:
        BadInput: there is none.
    """
    if cfg.serving is None:
        raise BadInput("conf: serving: missing; conf/serving/default.yaml has it")
    return cfg.serving
