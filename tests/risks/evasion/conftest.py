"""Three made-up defenses under two threats, examined, saved and drawn up once for all tests."""

import pytest
import yaml

from pipeline import params
from pipeline.risks.evasion.tables import draw_up
from pipeline.risks.evasion.view import View
from pipeline.risks.risk import Context, Sources
from risks.evasion.made_up import CFG, three_defenses
from tiny import records


@pytest.fixture(scope="session")
def patients():
    return records(150, seed=0)


@pytest.fixture(scope="session")
def context(patients, smoke_text):
    cfg = params.parse(yaml.safe_load(smoke_text), "conf")
    return Context(patients, cfg.model_copy(update={"audit": CFG}))


@pytest.fixture(scope="session")
def examined(patients):
    """By defense, what was measured of it."""
    return three_defenses(patients)


@pytest.fixture(scope="session")
def tables(examined, context, tmp_path_factory):
    place = tmp_path_factory.mktemp("examined")
    for name, one in examined.items():
        (place / name / "evasion").mkdir(parents=True)
        one.save(place / name / "evasion")
    return draw_up(Sources({name: place / name for name in examined}), context)


@pytest.fixture
def comparison(tables):
    return tables["comparison"].copy()


@pytest.fixture
def view(tables, context):
    return View(tables, context.cfg)
