"""Conclusions in words; what may be concluded is decided in `pipeline.statistics.conclusions`."""

from math import isinf

from pipeline.statistics.conclusions import Best, Compared

MANY = 1_000_000  # patients, above which the number says no more than that it is hopeless


def comparison_words(compared: Compared, against: str) -> str:
    """One comparison: `better than baseline: +0.045` or that, and why, it is not told apart."""
    value = compared.difference.value
    if compared.verdict == "not told apart":
        return f"not told apart from {against}: {value:+.3f}; {_what_would_show(compared)}"
    return f"{compared.verdict} than {against}: {value:+.3f}"


def best_words(found: Best) -> str:
    """Who is best; or that nobody is, how far it is from showing, and what would settle it."""
    if found.proved:
        return found.leader
    rivals = ", ".join(found.rivals)
    ahead = found.closest.difference.value
    return (
        f"none told apart: {found.leader} from {rivals} "
        f"(ahead by {ahead:.3f}; {_what_would_show(found.closest)})"
    )


def _what_would_show(compared: Compared) -> str:
    least = f"{compared.smallest_detectable:.3f} would have shown"
    needed = compared.patients_to_settle
    if isinf(needed):
        return least
    amount = f"more than {MANY:_}" if needed > MANY else f"about {_two_digits(needed):_}"
    return f"{least}, {amount.replace('_', ' ')} patients would settle it"


def _two_digits(number: float) -> int:
    """Rounded to two digits: more would claim more than a standard error knows."""
    return int(float(f"{number:.2g}"))
