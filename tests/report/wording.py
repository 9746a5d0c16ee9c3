"""What a report may not say: a claim that it cannot prove, whatever it measured."""

import html
import re

# What the field itself calls certified.
FIELD = (
    r"(?:accuracy|sensitivity|specificity|AUROC|AUC|radius|radii|robustness|share|against|records?"
    r"|patients?|answers?)"
)
ASKED = (
    r"(?:requirements?|standards?|criteri\w+|obligations?|articles?|Art\b|GDPR|EDPB|AI Act|NIST)"
)
FORBIDDEN = {
    "complies": r"\bcompl(?:y|ies|ied|iant|iance)\b",
    "certified": rf"\bcertified\b(?!(?: |_|-){FIELD})",
    "meets": rf"\bmeets?\s+(?:(?:all|the|its|every|any|of)\s+)*{ASKED}",
    "ensures": r"\bensur(?:e|es|ed|ing)\b",
    "safe": r"(?<!fail-)\b(?:safe|safely|unsafe)\b",
    "GDPR-ready": r"\bGDPR[- ]ready\b",
    "guaranteed safe": r"\bfool-?proof\b|\bbullet-?proof\b|\bunbreakable\b",
    "is robust": r"(?<!nothing )\b(?:is|are|be|fully|highly) (?:robust|private)\b(?! accuracy)",
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
