"""A linear model is stolen to the last digit, categories and gaps included."""

import torch

import mixed
from pipeline.attacks.equations import answers_needed, steal_linear
from pipeline.attacks.oracle import Oracle, plain


def test_a_linear_victim_with_categories_is_solved():
    victims = mixed.models(3, hidden=()).double()
    assert answers_needed(mixed.SCHEMA) == 1 + 4 + 2 + 4 + 6
    oracle = Oracle(plain(victims), "probabilities", answers_needed(mixed.SCHEMA))
    stolen = steal_linear(oracle, mixed.SCHEMA, 3)
    assert oracle.asked == answers_needed(mixed.SCHEMA)
    x = mixed.records(300, seed=9, missing=0.2).x.double().expand(3, -1, -1)
    torch.testing.assert_close(plain(stolen)(x), plain(victims)(x), rtol=0, atol=1e-6)
