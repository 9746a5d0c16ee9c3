"""What one eps means: short, before anything is said of it."""

from pipeline.presentation.chapter import Chapter, Fold, Note, Part, Table
from pipeline.risks.evasion.chapters.shared import ROWS
from pipeline.risks.evasion.clinic import eps_table
from pipeline.risks.evasion.view import View

TITLE = "What one eps means"


def chapter(view: View) -> Chapter:
    """Radii in the unit of each measurement, beside how well it is measured."""
    features, name = view.cfg.data.features, view.leading
    table = eps_table(features, sorted({*view.cfg.audit.eps, view.eps}))
    near = [column for column in table if column == f"eps {view.eps:g}"]
    order = sorted(features, key=lambda one: (one != name, not features[one].mutable))
    places = [list(features).index(one) for one in order]
    short = table.iloc[places][["feature", *near, "usual measurement error"]]
    short = short.assign(**{"an attacker may change it": table["an attacker may change it"]})
    parts: list[Part] = [
        Table(short.head(ROWS), "text", f"What eps {view.eps:g} allows, by measurement"),
        Fold(
            "Every eps, every measurement, and where its error is from",
            [
                Note(
                    "The change that each eps allows; in brackets, what is left of it on the "
                    "clinic's grid. The usual error is one standard deviation of a repeated "
                    "measurement; the eps beside it is what it amounts to."
                ),
                Table(table, "text", "What each eps allows, by measurement"),
            ],
        ),
    ]
    return Chapter(TITLE, parts, _result(view))


def _result(view: View) -> str:
    name = view.leading
    if not name:
        return "eps is in reference standard deviations of each feature."
    feature = view.cfg.data.features[name]
    said = f"eps 1 is {feature.scale:g} {feature.unit} of {name}, eps {view.eps:g} is "
    said += f"{feature.scale * view.eps:.3g} {feature.unit}"
    if feature.error is not None:
        error = feature.error / feature.scale
        said += (
            f"; its usual measurement error, {feature.error:g} {feature.unit}, is eps {error:.2g}"
        )
    return f"{said}. Every value may move by so much of its own scale at once."
