"""Every table about poisoning, from what its stage measured and from what is certified of each defense."""

import pandas as pd

from pipeline.parallel import share_out
from pipeline.risks.poisoning.certificate_tables import certificate_table
from pipeline.risks.poisoning.filter_tables import filter_table
from pipeline.risks.poisoning.harm_tables import damage_table
from pipeline.risks.poisoning.measure.certificate import CERTIFICATE, Certificate
from pipeline.risks.poisoning.measure.filtering import FILTERED, RECIPE, Cleansing
from pipeline.risks.poisoning.measure.recipes import NONE, Damage
from pipeline.risks.poisoning.measure.settings import PoisoningSettings
from pipeline.risks.risk import Context, Sources


def draw_up(sources: Sources, context: Context) -> dict[str, pd.DataFrame]:
    """Every table about poisoning: `poisoning`, `filters`, and the `certificate` of those defenses that have one."""
    cfg, place = context.cfg, sources.stage("poisoning")
    certificates = {
        name: Certificate.load(folder) for name, folder in sources.of(CERTIFICATE).items()
    }
    tables = (
        {"certificate": certificate_table(certificates, cfg.audit, cfg.seed)}
        if certificates
        else {}
    )
    if place is None:
        return tables
    damages = {
        name: Damage.load(place / f"{name}.safetensors")
        for name in cfg.chosen(cfg.section(PoisoningSettings).recipes)
    }
    rows = share_out(damage_table, [({name: harm}, cfg) for name, harm in damages.items()])
    filtered = {
        file.stem.removeprefix(FILTERED): Cleansing.load(file)
        for file in sorted(place.glob(f"{FILTERED}*.safetensors"))
    }
    filtered = {
        attack: filtered[attack]
        for attack in (NONE, *damages[RECIPE].poisoned)
        if attack in filtered
    }
    return {
        "poisoning": pd.concat(rows, ignore_index=True),
        "filters": filter_table(filtered, damages[RECIPE], cfg),
        **tables,
    }
