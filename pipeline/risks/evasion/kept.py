"""What relations between values protect from: the same forger, with and without keeping them."""

import pandas as pd

from pipeline.config import Config
from pipeline.presentation.chapter import Note, Part, Table
from pipeline.presentation.numbers import with_interval

ROBUST = ("robust_accuracy", "robust_low", "robust_high")


def kept_parts(comparison: pd.DataFrame, shown: dict[str, str], cfg: Config) -> list[Part]:
    """The headline threat beside its twin that keeps no relation; nothing where there is none.

    Args:
        comparison: one row per defense x threat x eps.
        shown: how each defense is called.
        cfg: its data set states the relations.
    """
    twin = cfg.twins.get(cfg.audit.headline)
    if twin is None or twin not in set(comparison["threat"]):
        return []
    keys = ["defense", "eps"]
    kept, apart = (
        comparison[comparison["threat"] == threat].set_index(keys)
        for threat in (cfg.audit.headline, twin)
    )
    both = kept.index.intersection(apart.index, sort=False)
    kept, apart = kept.loc[both].reset_index(), apart.loc[both].reset_index()
    relations = [*cfg.data.relations]
    relations += [f"{name} = {formula}" for name, formula in cfg.data.derived.items()]
    said = Note(
        f"Every forged record keeps: {'; '.join(relations)}. Records that break one themselves may "
        "break it as far as they do. What follows from other values is forged with them, and its "
        f"own change does not count. Without: every value by itself, the {twin} threat."
    )
    table = pd.DataFrame(
        {
            "defense": kept["defense"].map(shown),
            "eps": kept["eps"].map("{:g}".format),
            "robust accuracy, kept": with_interval(kept, *ROBUST),
            "without": with_interval(apart, *ROBUST),
            "proved, kept": kept["verified_accuracy"].map("{:.3f}".format),
            "proved, without": apart["verified_accuracy"].map("{:.3f}".format),
        }
    )
    return [said, Table(table, "numbers")]
