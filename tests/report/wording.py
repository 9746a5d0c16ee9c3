"""What a report may not say: a claim that it cannot prove, whatever it measured."""

import html
import re

# A word of the field may stand: accuracy, AUROC, a radius or an attack count can be certified.
FIELD = r"(?:accuracy|accuracies|AUROC|AUC|radius|radii|robustness|against|records?|patients?)"
FORBIDDEN = {
    "complies": r"\bcompl(?:y|ies|ied|iant|iance)\b",
    "certified": rf"\bcertified\b(?![ _-]{FIELD}\b)(?!\.?_auc)",
    "meets": r"\bmeets?\b(?! the (?:model|attack|defense|victim))",
    "ensures": r"\bensur(?:e|es|ed|ing)\b",
    "safe": r"\b(?:safe|safely|unsafe)\b",
    "GDPR-ready": r"\bGDPR[- ]ready\b",
    "guaranteed safe": r"\bfool-?proof\b|\bbullet-?proof\b|\bunbreakable\b",
    "is robust": r"\b(?:is|are|be|fully|very|highly) (?:robust|private|secure)\b(?! accuracy)",
    "best-in-class": r"\bstate[- ]of[- ]the[- ]art\b|\bbest[- ]in[- ]class\b",
}


def violations(text):
    """Each forbidden word in a text, with what stands around it."""
    found = []
    for name, pattern in FORBIDDEN.items():
        for match in re.finditer(pattern, text, flags=re.IGNORECASE):
            around = text[max(0, match.start() - 40) : match.end() + 40]
            found.append(f"{name}: …{' '.join(around.split())}…")
    return found


def shown(page):
    """The text of a page, without what draws and runs it."""
    page = re.sub(r"<(style|script)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return html.unescape(re.sub(r"<[^>]*>", " ", page))
