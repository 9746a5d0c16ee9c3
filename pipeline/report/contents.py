"""All that is written of an evaluation, laid out by nobody yet: pages and exports share it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import Config
from pipeline.parallel import share_out
from pipeline.presentation.chapter import Chapter, Finding, Part, Picture, Reader, in_order
from pipeline.presentation.flagged import Labels, chapter_with_flags, finding_with_flags, with_flags
from pipeline.presentation.numbers import SMALL
from pipeline.presentation.pictures import display_name
from pipeline.report.audited import facts, provenance, question, warnings
from pipeline.report.matrix import Matrix, matrix_of
from pipeline.report.overview import RULE, front_in_words, whose_records
from pipeline.risks import RISKS
from pipeline.risks.conclusions import Conclusions
from pipeline.risks.results import Results, Told, measured
from pipeline.risks.risk import Context, Judgement

FEW = (
    f"Patients are hidden: a count of fewer than {SMALL} of them is not told, nor one that would "
    "tell it by subtraction within its table. Shares are, and of a known number they tell a count."
)
# True of every audit: what no risk can say of itself.
NEVER_TESTED = (
    "What no chapter names. That no attack succeeded does not prove that none can: only what is "
    "called proved is, and only of the stated threat."
)
NO_MORE: Mapping[str, Sequence[Chapter]] = {}


@dataclass(frozen=True)
class Contents:
    """What is written of an evaluation; flags stand beside every name.

    Attributes:
        title: what was asked, of which data.
        facts: what was audited.
        provenance: version of the program; sha256 of its code, the data, the configuration.
        warnings: what stands on top of every page.
        judged: by defense, in the order of the page, what speaks against its figures.
        findings: the worst of each risk that measured something, with the risk's name.
        cover: the picture of the first screen.
        matrix: every headline figure of every defense.
        conclusions: for each headline figure who is the best, or why nobody is.
        untested: what was not tested, with the risk's name (empty: of all); never empty.
        notes: by what rule is concluded, and what follows from all figures together.
        chapters: the early ones first.
        places: for each risk with a chapter the anchor of its first one that is not early.
        owners: for each chapter's anchor the risk.
    """

    title: str
    facts: Sequence[tuple[str, str]]
    provenance: Sequence[tuple[str, str]]
    warnings: Sequence[str]
    judged: Mapping[str, Judgement]
    findings: Sequence[tuple[str, Finding]]
    cover: Picture | None
    matrix: Matrix
    conclusions: Sequence[tuple[str, str]]
    untested: Sequence[tuple[str, str]]
    notes: Sequence[str]
    chapters: Sequence[Chapter]
    places: Mapping[str, str]
    owners: Mapping[str, str]

    def brief(self, reader: Reader) -> list[tuple[str, Sequence[Part]]]:
        """What stands on the page of a reader: titles of chapters, and their parts."""
        return [(one.title, one.brief[reader]) for one in self.chapters if one.brief.get(reader)]

    def findings_for(self, reader: Reader) -> list[Finding]:
        """Those of the risks that have something to say to a reader; of all where none has."""
        own = self._asked_by(reader)
        return [found for risk, found in self.findings if not own or risk in own]

    def untested_for(self, reader: Reader) -> list[str]:
        """What was not tested of these risks, and of all."""
        own = self._asked_by(reader)
        return [said for risk, said in self.untested if not (own and risk) or risk in own]

    def _asked_by(self, reader: Reader) -> set[str]:
        return {self.owners[one.anchor] for one in self.chapters if one.brief.get(reader)}


def labels_of(judged: Mapping[str, Judgement]) -> dict[str, str]:
    """The name with its flags, of each defense that has any."""
    flagged = {name: " ".join(one.flags) for name, one in judged.items() if one.flags}
    return {name: display_name(name, flags) for name, flags in flagged.items()}


def told_by_all(results: Results, context: Context, plots: Path) -> dict[str, Told]:
    """What each risk has to say, with flags beside every name; pictures are drawn into `plots`.

    Args:
        results: the tables of every risk.
        context: whose they are, and what speaks against whom.
        plots: the folder of pictures.
    """
    labels = labels_of(context.judged)
    jobs = [(risk, results[risk.name], context, plots) for risk in RISKS]
    # drawing takes most of the time
    told = dict(zip((risk.name for risk in RISKS), share_out(Told.by, jobs), strict=True))
    return {name: _with_flags(one, labels) for name, one in told.items()}


def _with_flags(told: Told, labels: Labels) -> Told:
    return Told(
        [chapter_with_flags(chapter, labels) for chapter in told.chapters],
        finding_with_flags(told.finding, labels) if told.finding else None,
        [with_flags(said, labels) for said in told.untested],
        told.cover,
    )


def contents_of(
    told: Mapping[str, Told],
    results: Results,
    context: Context,
    found: Conclusions,
    more: Mapping[str, Sequence[Chapter]] = NO_MORE,
) -> Contents:
    """What is written of an evaluation.

    Args:
        told: of `told_by_all`.
        results: the tables of every risk.
        context: whose they are.
        found: what is concluded from them.
        more: chapters of no single risk, which stand last, by what they are filed under.

    Raises:
        ValueError: two chapters have one name in links.
    """
    labels = labels_of(found.judged)
    chapters = {**{name: one.chapters for name, one in told.items()}, **more}
    return Contents(
        title=question(context.cfg),
        facts=facts(context),
        provenance=provenance(context),
        warnings=warnings(context.cfg),
        judged=found.judged,
        findings=[(name, one.finding) for name, one in told.items() if one.finding],
        cover=next((one.cover for one in told.values() if one.cover), None),
        matrix=matrix_of(found.asked, found.headlines, found.judged),
        conclusions=_conclusions(found, labels),
        untested=[
            *((name, said) for name, one in told.items() for said in one.untested),
            *_left_out(results),
            ("", NEVER_TESTED),
        ],
        notes=_notes(found, context, labels),
        chapters=in_order(one for own in chapters.values() for one in own),
        places={name: _first(own).anchor for name, own in chapters.items() if own},
        owners={one.anchor: name for name, own in chapters.items() for one in own},
    )


def _first(chapters: Sequence[Chapter]) -> Chapter:
    return next((one for one in chapters if not one.early), chapters[0])


def _conclusions(found: Conclusions, labels: Labels) -> list[tuple[str, str]]:
    lines = found.overview[["figure", "conclusion"]].itertuples(index=False)
    return [(with_flags(figure, labels), with_flags(said, labels)) for figure, said in lines]


def _left_out(results: Results) -> list[tuple[str, str]]:
    absent = [risk.name for risk in RISKS if not measured(risk, results[risk.name])]
    return [("", f"Not measured in this audit: {', '.join(absent)}.")] if absent else []


def _notes(found: Conclusions, context: Context, labels: Labels) -> list[str]:
    cfg: Config = context.cfg
    records = len(context.dataset.y)
    return [
        text
        for text in (
            RULE,
            with_flags(front_in_words(found.front), labels),
            f"Intervals: {cfg.audit.confidence:.0%}, bootstrap over patients, seeds averaged first,"
            " unless a chapter says otherwise.",
            whose_records(records, context.sampling.patients(records)),
            FEW if cfg.report.patients == "hidden" else "",
        )
        if text
    ]
