"""Made-up results of federations: hostile hospitals, records read, scores of members."""

import torch

from pipeline.attacks.updates import HOSTILE
from pipeline.risks.federation.measure.experiment import harm_file
from pipeline.risks.federation.measure.federations import NONE
from pipeline.risks.federation.measure.hostile import Asked, Harmed
from pipeline.risks.federation.measure.members import ANSWERS, BOTH, FINAL, SERVER, STEPS, Members
from pipeline.risks.federation.measure.seen import FIRST, GRADIENT, LAST, Kind, Seen
from pipeline.risks.federation.measure.settings import PRIVATE_RECIPE, RECIPE
from pipeline.risks.federation.risk import RISK
from pipeline.risks.membership.measure.shadows import BLIND
from pipeline.risks.risk import Sources
from risks.federation.hospital_answers import answers

BACKDOORS = [name for name, one in HOSTILE.items() if one.taught == "triggered"]


def settings(cfg, **changes):
    """The configuration with other numbers of the federation."""
    own = cfg.federation.model_copy(update=changes)
    return cfg.model_copy(update={"federation": own})


def harmed(n=120, *, rule="mean", hospitals=8, boosted=0.5, seed=0, recipe=RECIPE, malicious=1):
    """Nine in ten are answered rightly; of `boost` so many; every second trigger works."""
    drawn = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 2
    attacks = (NONE, *HOSTILE)

    def right(share):
        return torch.where(torch.rand(2, n, generator=drawn) < share, 1.0, -1.0)

    margins = {name: right(boosted if name == "boost" else 0.9) for name in attacks}
    triggered = {name: torch.ones(2, n) for name in (NONE, *BACKDOORS)}
    for name in BACKDOORS:
        triggered[name][:, ::4] = -1.0
        triggered[name][:, 1::4] = -1.0
    return Harmed(
        recipe,
        tuple(f"hospital {one}" for one in range(hospitals)),
        rule,
        malicious,
        attacks,
        torch.arange(n),
        y,
        margins,
        {name: torch.zeros(2, n) for name in attacks},
        triggered,
        torch.full((hospitals,), 50.0, dtype=torch.float64),
    )


def seen(dataset, *, off=1.0):
    """Single records are read exactly; of four each measurement is off by so many scales."""
    scale = dataset.schema.column("scale").float()
    kinds = (Kind(GRADIENT, 1, FIRST), Kind(GRADIENT, 4, FIRST), Kind(GRADIENT, 4, LAST))
    index = {"0": torch.arange(12)[:, None], "1": torch.arange(16).view(4, 4)}
    index["2"] = index["1"].clone()
    true = {key: dataset.x[rows].nan_to_num(nan=0.0) for key, rows in index.items()}
    shift = {"0": 0.0, "1": off, "2": 2 * off}
    return Seen(
        kinds,
        index,
        {key: x + shift[key] * scale for key, x in true.items()},
        {key: dataset.y[rows].float() for key, rows in index.items()},
        {key: x[:, 0] + 3 * scale for key, x in true.items()},
        {key: x + 4 * scale for key, x in true.items()},
        torch.tensor([1.0, 2.0], dtype=torch.float64),
    )


def members(n=120, *, seed=0, recipe=RECIPE, strength=None):
    """The server's scores tell most, those of the model at the end nothing."""
    drawn = torch.Generator().manual_seed(seed)
    member = torch.rand(8, n, generator=drawn) < 0.5
    more = {FINAL: 0.0, ANSWERS: 0.1, STEPS: 0.4, BOTH: 0.5, SERVER: 2.0, BLIND: 0.0}
    scores = {
        name: torch.randn(8, n, generator=drawn) + shift * member for name, shift in more.items()
    }
    return Members(recipe, 8, 20, strength, scores, member)


def saved(place, dataset):
    """All of them, as the stage leaves them; four hospitals are too few for Krum."""
    own = place / "federation" / "federated"
    own.mkdir(parents=True)
    asked = [(8, 1, RECIPE), (4, 1, RECIPE), (8, 2, RECIPE), (8, 1, PRIVATE_RECIPE)]
    for seed, rule in enumerate(("mean", "median", "trimmed_mean", "krum")):
        for hospitals, malicious, recipe in asked:
            if (rule, hospitals) != ("krum", 4):
                one = harmed(
                    len(dataset.y),
                    rule=rule,
                    hospitals=hospitals,
                    boosted=0.5 if rule == "mean" else 0.9,
                    seed=seed,
                    recipe=recipe,
                    malicious=malicious,
                )
                file = Asked(hospitals, rule, malicious, recipe == PRIVATE_RECIPE, 1)
                one.save(own / harm_file(file))
    answers(y=dataset.y).save(own / "hospitals-8.safetensors")
    seen(dataset).save(own / "seen.safetensors")
    members(len(dataset.y)).save(own / "members.safetensors")
    private = members(len(dataset.y), recipe=PRIVATE_RECIPE, strength=0.8)
    private.save(own / "members_private.safetensors")


_DRAWN = {}  # drawn up once: it takes longer than most tests


def tables(place, context):
    """The tables of `saved`, the caller's own."""
    if not _DRAWN:
        saved(place, context.dataset)
        _DRAWN.update(RISK.tables(Sources({}, place), context))
    return {name: table.copy() for name, table in _DRAWN.items()}
