"""The glossary: plain, short, and of words that pages use."""

from pipeline.presentation.glossary import GLOSSARY


def test_every_word_is_explained_in_a_line_or_two():
    for term, plain in GLOSSARY.items():
        assert 20 < len(plain) < 200, term
        assert not plain.endswith(".")


def test_both_epsilons_are_told_apart():
    assert "Not eps" in GLOSSARY["epsilon, delta"]
    assert "forged" in GLOSSARY["eps"]
