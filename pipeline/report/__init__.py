"""What people read: tables, one page, and a short summary on the terminal."""

from pipeline.files import in_project

HEADLINE, DEFENSES, OVERVIEW = "headline.csv", "defenses.csv", "overview.csv"  # of all risks
REPORT, SHARED = "report.html", "report_shared.html"  # the second without single patients
FACTS, PRIVACY = "facts.html", "privacy.html"  # one page for a clinician, one for data protection
METRICS, SUMMARY, SCHEMA = "metrics.json", "summary.txt", "schema.json"
AUDIT, AUDIT_SCHEMA, CARD = "audit.json", "audit.schema.json", "card.md"
CHAPTERS = "chapters.json"  # of the page, without single patients: what a PDF is made of
PLOTS = "plots"


def how_to_compare() -> str:
    """Where runs are compared: a checkout has `make`, a project the command."""
    opens = "medsecure ui" if in_project() else "make ui"
    return f"Compare in MLflow:  {opens}   (prints the address of a table of all runs)"
