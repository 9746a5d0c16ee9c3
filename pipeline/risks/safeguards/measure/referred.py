"""Rules of referral under attack: by who ignores that he may be referred, and by who does not.

Who ignores the rule attacks the undefended model, and is content with any wrong answer. Who adapts
to it wants a wrong answer of whatever the rule wraps, and then as little doubt as can be; of all
records that anybody made he presents the one that is wrong and doubted least. So one attack serves
every threshold, and the adaptive attacker never passes fewer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from pipeline.artifact import read_artifact, write_artifact
from pipeline.defenses.referring import TIE, Rule, Seen, close_to_the_line
from pipeline.models.population import Population
from pipeline.parallel import Inline
from pipeline.risks.safeguards.measure.cohort import Cohort, answer_alone, answer_and_doubt
from pipeline.verify import why_no_proof
from pipeline.verify.out_of_fold import ProofSearch, proofs_out_of_fold

CONTROL, PROVED = "margin", "proved radius"
KINDS = ("clean", "ignoring", "adaptive")


@dataclass(frozen=True)
class Referrals:
    """What each rule answers and doubts: E radii x S repetitions x N patients.

    Attributes:
        eps: radii, rising, in units of the headline threat's scale; 0 is not among them.
        patients: (N,) int64, rows of the data set.
        y: (N,) class indices.
        margin: by "kind/rule" (E, S, N) float64, of the true class; kinds as `KINDS`, `clean` with
            E = 1.
        doubt: likewise, at most 0; HIGHER = REFERRED SOONER. Of the proved radius it is only known
            of unchanged records and of wrong answers, otherwise 0.
    """

    eps: list[float]
    patients: Tensor
    y: Tensor
    margin: dict[str, Tensor]
    doubt: dict[str, Tensor]

    @property
    def rules(self) -> list[str]:
        """Names of the rules, in order."""
        return [name.removeprefix("clean/") for name in self.margin if name.startswith("clean/")]

    def save(self, path: Path) -> None:
        """Writes one safetensors file."""
        write_artifact(path, self)

    @classmethod
    def load(cls, path: Path) -> "Referrals":
        """Reads what `save` wrote.

        Raises:
            BadInput: the file is missing, damaged, or holds something else.
        """
        advice = "run `dvc repro safeguards`"
        return read_artifact(path, cls, what="referred patients", advice=advice)


def attack_referral(
    cohort: Cohort, populations: Mapping[str, Population], rules: Mapping[str, Rule], budget: int
) -> Referrals:
    """Attacks every rule; the proved radius is one more, of each population that can be proved.

    Args:
        cohort: whom the models hold out, and how they are attacked, within which radii.
        populations: the undefended models first, then more robust ones, by what stands before the
            name of a rule; each has the margin as its control.
        rules: of the undefended models; the first is that control.
        budget: that the verifier may spend on a record.
    """
    found: dict[str, dict[str, Tensor]] = {"margin": {}, "doubt": {}}

    def keep(rule: str, seen: Mapping[str, Seen]) -> None:
        for kind, one in seen.items():
            each = one if one.lead.dim() == 3 else Seen(*(part[None] for part in one))
            side = 2 * cohort.y - 1
            for name, values in (("margin", each.lead * side), ("doubt", each.doubt)):
                found[name][f"{kind}/{rule}"] = cohort.by_patient(values)

    for place, (prefix, population) in enumerate(populations.items()):
        plain = close_to_the_line(population) if place else next(iter(rules.values()))
        careless = cohort.climbed(answer_alone(plain.soft, cohort.y), place, 0)
        strong = cohort.climbed(answer_and_doubt(plain.soft, cohort.y), place, 1)
        own = {f"{prefix}{CONTROL}": plain} if place else rules
        for number, (name, rule) in enumerate(own.items(), 2):
            made = [careless, strong]
            if rule.soft is not plain.soft:
                made.append(cohort.climbed(answer_and_doubt(rule.soft, cohort.y), place, number))
            keep(name, presented(rule, cohort, made))
        if not why_no_proof(population):
            prover = Prover(population, cohort, budget)
            keep(f"{prefix}{PROVED}", by_proofs(prover, plain, [careless, strong]))
    patients = cohort.folds.patients
    y = cohort.dataset.y[patients]
    return Referrals(cohort.radii, patients, y, found["margin"], found["doubt"])


def presented(rule: Rule, cohort: Cohort, made: Sequence[Tensor]) -> dict[str, Seen]:
    """What a rule makes of unchanged records, and of what either attacker presents.

    Args:
        rule: as it is deployed.
        cohort: whom it is asked about.
        made: records (E, M, B, *event); the first are those of who ignores the rule.
    """
    clean = rule.exact(cohort.x)
    looked = [[rule.exact(one) for one in records] for records in made]
    return {
        "clean": clean,
        "ignoring": first_wrong(clean, looked[0], cohort.y),
        "adaptive": least_doubted(clean, looked, cohort.y),
    }


def first_wrong(clean: Seen, looked: Sequence[Seen], y: Tensor) -> Seen:
    """Of who is content with a wrong answer: the record of the least radius that has one."""
    kept, best = [], clean
    for one in looked:
        standing = best.lead * (2 * y - 1) > 0
        nearer = standing & (one.lead * (2 * y - 1) < best.lead * (2 * y - 1))
        best = _chosen(nearer, one, best)
        kept.append(best)
    return Seen(*(torch.stack(each) for each in zip(*kept, strict=True)))


def least_doubted(clean: Seen, looked: Sequence[Sequence[Seen]], y: Tensor) -> Seen:
    """Of who adapts: of all within the radius the wrong answer that is doubted least.

    Where none is wrong, the one with the least margin.
    """
    kept, best = [], clean
    for candidates in zip(*looked, strict=True):
        for one in candidates:
            best = _chosen(cost(one, y) < cost(best, y), one, best)
        kept.append(best)
    return Seen(*(torch.stack(each) for each in zip(*kept, strict=True)))


def cost(one: Seen, y: Tensor) -> Tensor:
    """What an attacker minimises: below 0 where the answer is wrong, then as doubt falls."""
    ahead = one.lead * (2 * y - 1)
    return torch.where(ahead > 0, ahead, one.doubt - 1)


def _chosen(which: Tensor, one: Seen, other: Seen) -> Seen:
    return Seen(*(torch.where(which, a, b) for a, b in zip(one, other, strict=True)))


# ---- the proved radius ----


@dataclass(frozen=True)
class Prover:
    """How far around a record no other one is answered otherwise, whoever presents it.

    Attributes:
        population: one model for each row of the cohort's plan.
        cohort: with the radii up to which to look.
        budget: for a record.
    """

    population: Population
    cohort: Cohort
    budget: int

    def radius(self, x: Tensor, called: Tensor, asked: Tensor) -> Tensor:
        """(M, B) float64: the proved radius of the answers that are `asked` about, else 0.

        Args:
            x: (M, B, *event) what is presented.
            called: (M, B) the class that it is called.
            asked: (M, B) bool.
        """
        cohort, dataset = self.cohort, self.cohort.dataset
        index, valid = cohort.plan.held_out_index()
        threat = replace(cohort.threat, goal="any")  # whoever presents it may have had any goal
        radii = cohort.radii
        search = ProofSearch(threat, radii, None, self.budget, alone=None, pruned=False)
        found = torch.zeros(called.shape, dtype=torch.float64)
        for member in range(cohort.plan.size):
            rows = valid[member] & asked[member]
            if not rows.any():
                continue
            who = index[member][rows]
            table, y = dataset.x.clone(), dataset.y.clone()
            table[who], y[who] = x[member][rows], called[member][rows]
            held = torch.zeros_like(cohort.plan.held_out[member])
            held[who] = True
            one = replace(
                cohort.plan.select(torch.tensor([member])),
                held_out=held[None],
                repetition=torch.zeros(1, dtype=torch.int64),
                tune=None,
            )
            proofs = proofs_out_of_fold(
                Inline(),
                self.population.select(torch.tensor([member])),
                replace(dataset, x=table, y=y),
                one,
                search,
            )()
            place = torch.zeros(len(dataset.y), dtype=torch.int64)
            place[proofs.patients] = torch.arange(len(proofs.patients))
            found[member][rows] = proofs.robust_below[0][place[who]]
        return found


def by_proofs(prover: Prover, plain: Rule, made: Sequence[Tensor]) -> dict[str, Seen]:
    """The rule of the proved radius: the smaller it is, the more doubtful; of equals by margin.

    Of changed records only wrong answers are proved: right ones that are referred harm nobody.
    """
    cohort = prover.cohort
    valid = cohort.plan.held_out_index()[1]

    def look(x: Tensor, everybody: bool) -> Seen:
        lead = plain.exact(x).lead
        called = (lead > 0).long()
        asked = valid & (everybody | (called != cohort.y))
        radius = prover.radius(x, called, asked)
        tie = TIE * lead.abs() / (1 + lead.abs())
        doubt = -(radius.clamp(max=2 * cohort.radii[-1]) + tie)
        return Seen(lead, torch.where(asked, doubt, 0.0))

    clean = look(cohort.x, True)
    # of unchanged records an attacker presents what they are: known where they are wrong
    looked = [[look(one, False) for one in records] for records in made]
    return {
        "clean": clean,
        "ignoring": first_wrong(clean, looked[0], cohort.y),
        "adaptive": least_doubted(clean, looked, cohort.y),
    }
