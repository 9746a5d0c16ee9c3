"""What people read: tables, one page, and a short summary on the terminal."""

HEADLINE, DEFENSES, OVERVIEW = "headline.csv", "defenses.csv", "overview.csv"  # of all risks
REPORT, SHARED = "report.html", "report_shared.html"  # the second without single patients
METRICS, SUMMARY, SCHEMA = "metrics.json", "summary.txt", "schema.json"
PLOTS = "plots"
HOW_TO_COMPARE = "Compare in MLflow:  make ui   (then open http://127.0.0.1:5000)"
