"""Every table about poisoning, from its stage's measurements and each defense's certificate."""

import pandas as pd

from pipeline.parallel import share_out
from pipeline.risks.poisoning.certificate_tables import certificate_table
from pipeline.risks.poisoning.filter_tables import filter_table
from pipeline.risks.poisoning.harm_tables import harm_table
from pipeline.risks.poisoning.measure.certificate import CERTIFICATE, Certificate
from pipeline.risks.poisoning.measure.filtering import PREFIX, RECIPE, Filtered
from pipeline.risks.poisoning.measure.recipes import NONE, Harm
from pipeline.risks.poisoning.measure.settings import PoisoningSettings
from pipeline.risks.risk import Context, Sources


def draw_up(sources: Sources, context: Context) -> dict[str, pd.DataFrame]:
    """Every table about poisoning.

    `poisoning`, `filters`, and the `certificate` of those defenses that have one.
    """
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
    harms = {
        name: Harm.load(place / f"{name}.safetensors")
        for name in cfg.chosen(cfg.section(PoisoningSettings).recipes)
    }
    rows = share_out(harm_table, [({name: harm}, cfg) for name, harm in harms.items()])
    filtered = {
        file.stem.removeprefix(PREFIX): Filtered.load(file)
        for file in sorted(place.glob(f"{PREFIX}*.safetensors"))
    }
    filtered = {
        attack: filtered[attack] for attack in (NONE, *harms[RECIPE].poisoned) if attack in filtered
    }
    return {
        "poisoning": pd.concat(rows, ignore_index=True),
        "filters": filter_table(filtered, harms[RECIPE], cfg),
        **tables,
    }
