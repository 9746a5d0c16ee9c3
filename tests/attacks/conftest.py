"""What attacks are tried on: small untrained networks, and linear models with a closed form."""

import pytest

import tiny


@pytest.fixture(scope="module")
def models():
    return tiny.population(3)


@pytest.fixture(scope="module")
def x():
    """Records with missing values."""
    return tiny.records(90, seed=1).x.view(3, 30, 5)


@pytest.fixture(scope="module")
def linear():
    return tiny.population(3, hidden=())


@pytest.fixture(scope="module")
def complete():
    """Records without missing values."""
    return tiny.records(90, seed=2, missing=0).x.view(3, 30, 5)
