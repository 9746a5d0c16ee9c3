"""The jobs of a sweep: each once, named after what sets it apart, and no defense beside them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pipeline.config import BASELINE, Config
from pipeline.defenses import DEFENSES
from pipeline.sweep.keys import only, settings_key, undefended

NOT_VARIED = "defense"  # it is in front of every name
LONGEST = 120  # letters of what sets a job apart


@dataclass(frozen=True)
class Job:
    """One recipe with one configuration.

    Attributes:
        name: the recipe, and what sets this run of it apart: `dp_train (epsilon=2)`.
        defense: the recipe.
        cfg: the configuration, without what belongs to other defenses.
        varies: key -> value of what sets it apart from other jobs, as on the command line; a key
            that it does not use is missing.
        control: the `key` of the job without a defense that it is compared with.
        alone: the overrides that run it alone.
        added: it was not asked for; others need it.
    """

    name: str
    defense: str
    cfg: Config
    varies: Mapping[str, str]
    control: str
    alone: Sequence[str] = ()
    added: bool = False

    @property
    def key(self) -> str:
        """`settings_key` of its configuration."""
        return settings_key(self.cfg)

    @property
    def overrides(self) -> list[str]:
        """What sets it apart, as it is written on the command line."""
        return [f"{key}={value}" for key, value in self.varies.items()]


@dataclass
class _Found:
    """A job, and the settings of all combinations that ask for it."""

    defense: str
    cfg: Config
    control: str
    settings: list[dict[str, str]] = field(default_factory=list)


def plan_jobs(asked: Sequence[tuple[Sequence[str], Config]]) -> list[Job]:
    """Every job of a sweep once: those without a defense before whoever is compared with them.

    Args:
        asked: for each combination of choices its overrides, and its configuration.
    """
    found: dict[str, _Found] = {}
    controls: dict[str, _Found] = {}
    combinations = [_settings(overrides) for overrides, _ in asked]
    for settings, (_, cfg) in zip(combinations, asked, strict=True):
        for name in cfg.defenses:
            alone, without = only(cfg, name), undefended(cfg)
            key, control = settings_key(alone), settings_key(without)
            found.setdefault(key, _Found(name, alone, control)).settings.append(settings)
            controls.setdefault(control, _Found(BASELINE, without, control)).settings.append(
                settings
            )
    varied = _varied(combinations)
    planned = []
    for control, needed in controls.items():
        mine = [one for key, one in found.items() if one.control == control and key != control]
        first = found.get(control, needed)
        planned.append(replace(_job(first, varied), added=control not in found))
        planned += [_job(one, varied) for one in mine]
    return _apart(planned)


def told_of(jobs: Sequence[Job]) -> tuple[list[Job], str]:
    """The jobs with what MLflow is told of each, and how that is said where it is less than all."""
    told = [job.cfg.tracking.of(len(jobs)) for job in jobs]
    settled = [
        replace(job, cfg=job.cfg.model_copy(update={"tracking": one}))
        for job, one in zip(jobs, told, strict=True)
    ]
    less = [
        key
        for key in ("nested", "files")
        if any(not getattr(one, key) for one in told)
        and all(getattr(job.cfg.tracking, key) == "auto" for job in jobs)
    ]
    said = ", ".join(f"tracking.{key}=false" for key in less)
    return settled, f"; {said}: above {jobs[0].cfg.tracking.many} jobs" if said else ""


def name_of(defense: str, varies: Mapping[str, str]) -> str:
    """`dp_train (epsilon=2)`: a key of the defense itself goes without its name."""
    said = ", ".join(f"{short(key, defense)}={value}" for key, value in varies.items())
    safe = said.replace("/", "_")[:LONGEST]  # files are named after it
    return f"{defense} ({safe})" if safe else defense


def short(key: str, defense: str) -> str:
    """A key as it stands beside the name of the defense."""
    return key.removeprefix(f"{defense}.")


def fixed(asked: Sequence[tuple[Sequence[str], Config]]) -> dict[str, str]:
    """What every combination of a sweep has in common on its command line."""
    combinations = [_settings(overrides) for overrides, _ in asked]
    varied = {*_varied(combinations), NOT_VARIED}
    return {key: value for key, value in combinations[0].items() if key not in varied}


def _job(found: _Found, varied: Mapping[str, list[str]]) -> Job:
    """Of a key whose every value asks for the same job, the job makes no use."""
    varies = {}
    for key, values in varied.items():
        own = dict.fromkeys(one[key] for one in found.settings if key in one)
        if own and len(own) < len(values):
            varies[key] = next(iter(own))
    name, first = name_of(found.defense, varies), found.settings[0]
    others = DEFENSES.keys() - {found.defense}
    alone = [
        f"{key}={value}"
        for key, value in {**first, NOT_VARIED: found.defense}.items()
        if key.partition(".")[0] not in others
    ]
    return Job(name, found.defense, found.cfg, varies, found.control, alone)


def _varied(combinations: Iterable[Mapping[str, str]]) -> dict[str, list[str]]:
    """Key -> its values, of what has several."""
    values: dict[str, dict[str, None]] = {}
    for settings in combinations:
        for key, value in settings.items():
            values.setdefault(key, {})[value] = None
    return {
        key: list(known) for key, known in values.items() if len(known) > 1 and key != NOT_VARIED
    }


def _settings(overrides: Sequence[str]) -> dict[str, str]:
    """Key -> value; one that is removed (`~key`) has none."""
    parted = (override.partition("=") for override in overrides)
    return {key.lstrip("+"): value for key, _, value in parted}


def _apart(jobs: Sequence[Job]) -> list[Job]:
    """The jobs with names that are all different, whatever was left out of them."""
    taken: dict[str, int] = {}
    told = []
    for job in jobs:
        taken[job.name] = count = taken.get(job.name, 0) + 1
        told.append(job if count == 1 else replace(job, name=f"{job.name} {count}"))
    return told
