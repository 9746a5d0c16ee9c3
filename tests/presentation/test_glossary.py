"""The glossary: plain, short, and of words that pages use."""

from pipeline.presentation.glossary import GLOSSARY
from pipeline.risks import RISKS

WORDS = [*GLOSSARY.items(), *(one for risk in RISKS for one in risk.glossary.items())]


def test_every_word_is_explained_in_a_line_or_two():
    for term, plain in WORDS:
        assert 20 < len(plain) < 200, term
        assert not plain.endswith(".")


def test_no_word_is_explained_twice():
    terms = [term for term, _ in WORDS]
    assert len({*terms}) == len(terms)


def test_both_epsilons_are_told_apart():
    assert "Not eps" in GLOSSARY["epsilon, delta"]
    assert "forged" in GLOSSARY["eps"]
