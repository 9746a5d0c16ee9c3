"""The entry of inversion in `RISKS`."""

from collections.abc import Iterator, Sequence

from pipeline.config import Config
from pipeline.files import BadInput
from pipeline.risks.inversion.measure.settings import InversionSettings
from pipeline.risks.membership.measure.settings import MembershipSettings
from pipeline.risks.risk import Figure, HeadlineFigure, Risk, Tables, own


def check(cfg: Config, origin: str) -> None:
    """Refuses more victims than there are models of random halves, of which they are taken."""
    victims, targets = (
        cfg.section(InversionSettings).victims,
        cfg.section(MembershipSettings).targets,
    )
    if victims > targets:
        raise BadInput(
            f"{origin}: inversion.victims: {victims} is more than membership.targets {targets}, of "
            "which they are taken"
        )


def headline(tables: Tables, cfg: Config) -> Sequence[HeadlineFigure]:
    """The measurement that the first defense's models tell most about.

    The share of a guess's error that they take away.
    """
    if not len(tables.get("inversion", ())):
        return ()
    asked = (
        "attacker == 'learned' and diagnosis == 'known' "
        "and access == 'scores' and group == 'members'"
    )
    lines = tables["inversion"].query(asked)
    for bound in ("uplift", "uplift_low", "uplift_high"):
        lines = lines.assign(**{bound: lines[bound] / lines["error_alone"]})
    first = lines[lines["defense"] == lines["defense"].iloc[0]]
    attribute = str(first.loc[first["uplift"].idxmax(), "attribute"])
    chosen = lines[lines["attribute"] == attribute]
    return (
        HeadlineFigure.of(
            f"error of a guess of {attribute} that scores take away", "low", chosen, "uplift"
        ),
    )


def figures(tables: Tables, name: str, cfg: Config) -> Iterator[Figure]:
    """The uplift of who learns and knows the diagnosis, by measurement, access and group."""
    if "inversion" not in tables:
        return
    table = own(tables, "inversion", name)
    for _, line in table[
        (table["attacker"] == "learned") & (table["diagnosis"] == "known")
    ].iterrows():
        yield Figure(
            f"inversion/{line['attribute']}/{line['access']}/uplift_{line['group']}", line["uplift"]
        )


RISK = Risk(
    name="inversion", settings=InversionSettings, check=check, headline=headline, figures=figures
)
