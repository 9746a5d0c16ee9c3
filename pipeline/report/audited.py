"""What was audited: the first lines of every page, the same for the same code, data, settings."""

from pathlib import Path

from pipeline.config import Config, configuration_sha256
from pipeline.config.sector import with_names
from pipeline.data.schema import SPLITS, Dataset, Schema
from pipeline.data.signing import NOT_REVIEWED
from pipeline.presentation.numbers import counted, few
from pipeline.presentation.sector_words import Words
from pipeline.project.package import audit_digest, package_version
from pipeline.risks.risk import Context

USE = "Research use: no medical device, not for clinical use."
LETTERS = 12  # of a digest on a page; the whole stands where machines read it
SIGNED = "written or signed line by line in the schema of the data; no reviewer of it is named"


def spoken_of(cfg: Config, schema: Schema) -> Words:
    """The words of the cohort's sector, which change neither its columns nor its sites."""
    return with_names(cfg.data.spoken, schema.sites)


def question(cfg: Config) -> str:
    """The title of every page: what is asked, of which data."""
    return f"Robustness and privacy audit: {cfg.data.title}"


def facts(context: Context) -> list[tuple[str, str]]:
    """What was audited, as names and what is said of each; nothing in it changes with the day."""
    cfg = context.cfg
    hidden = cfg.report.patients == "hidden"
    model = _model(cfg)
    return [
        ("Predicts", f"{cfg.data.classes[1]} or {cfg.data.classes[0]}, from {_inputs(cfg)}"),
        ("Cohort", cohort(context.dataset, hidden=hidden)),
        ("Model", f"{model}; {_beside(cfg)}"),
        ("Scored", scored(context)),
        ("Threat model", reviewed(cfg)),
    ]


def _model(cfg: Config) -> str:
    layers = ", ".join(map(str, cfg.model.hidden))
    if cfg.model.own:
        if named := cfg.model.own.get("named"):  # its source is a copy
            return f"{named}, {cfg.model.name}"
        told = {name: Path(str(value)).name for name, value in cfg.model.own.items() if value}
        options = ", ".join(f"{name} {value}" for name, value in told.items())
        return f"{cfg.model.name} ({options})"
    model = f"{cfg.model.name}, hidden layers of {layers}" if layers else cfg.model.name
    if cfg.model.channels:
        model += f" behind convolutions of {', '.join(map(str, cfg.model.channels))} channels"
    return model


def _beside(cfg: Config) -> str:
    if cfg.plan.frozen:
        return "it was trained elsewhere, and is audited as it is deployed"
    return "a defense is another way of training it, or says what else it is"


def scored(context: Context) -> str:
    """Who is scored, and by whom."""
    plan, split = context.cfg.plan, context.dataset.split
    if plan.frozen:
        if plan.trained_on:
            return "each patient whom the deployed model was not trained on, by that model"
        unknown = "whether it was trained on some of them, which would flatter it, nobody says"
        return f"each patient, by the deployed model; {unknown}"
    if plan.kind == "official" and split is not None:
        tested = int((split == SPLITS.index("test")).sum())
        several = f"{plan.seeds} models that did not train on them and differ by their seed"
        by = several if plan.seeds > 1 else "one model that did not train on them"
        return f"the {tested} of the official test set, by {by}"
    times = f"{counted(plan.folds, 'fold')} x {counted(plan.seeds, 'seed')}"
    return f"each patient by models that did not train on them, {times}"


def _inputs(cfg: Config) -> str:
    if cfg.data.image:
        channels, height, width = cfg.data.image.shape
        colours = f" and {channels} channels" if channels > 1 else ""
        return f"an image of {height} x {width} pixels{colours}"
    count = len(cfg.data.features)
    return f"{count} {'value' if count == 1 else 'values'} of a record"


def cohort(dataset: Dataset, *, hidden: bool) -> str:
    """How many patients, and how many of them are ill; a few are told as fewer than ten."""
    records, ill = len(dataset.y), int((dataset.y == 1).sum())
    count = len(dataset.patient.unique())
    of = f"{count} patients" if records == count else f"{records} records of {count} patients"
    if dataset.schema.image:  # one patient may have several, where nobody says whose they are
        of = f"{records} images" + (f" of {count} patients" if records != count else "")
    too_few = hidden and 0 < min(ill, records - ill) < 10
    told = few(ill) if too_few and ill < 10 else "nearly all" if too_few else str(ill)
    return f"{of}, {told} ill" + ("" if too_few else f" ({ill / max(records, 1):.0%})")


def reviewed(cfg: Config) -> str:
    """Who looked at what may be forged, and by how much; or that nobody did."""
    if not cfg.data.unreviewed:
        return SIGNED
    return f"{NOT_REVIEWED}: {len(cfg.data.unreviewed)} of {len(cfg.data.features)} features"


def warnings(cfg: Config) -> list[str]:
    """What stands on top of every page, and in MLflow, of a cohort that nobody has looked at."""
    if not cfg.data.unreviewed:
        return []
    of = f"{len(cfg.data.unreviewed)} of {len(cfg.data.features)} features"
    guess = f"what {of} may be forged into and by how much is a guess of a program."
    return [f"Threat model {NOT_REVIEWED}: {guess}"]


def provenance(context: Context) -> list[tuple[str, str]]:
    """By what the page was made of what: version, and sha256 of code, data and configuration."""
    return [
        ("medsecure", package_version()),
        ("code", audit_digest()),
        ("data", context.dataset.digest),
        ("configuration", configuration_sha256(context.cfg)),
    ]
