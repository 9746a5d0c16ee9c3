"""Columns that tables of several risks share, and what they say."""

DEFENSE = {"defense": "the recipe by which the models were trained"}
IDS = {
    "atlas": "techniques of MITRE ATLAS, joined by a blank; none = no technique",
    "nist": "entries of NIST AI 100-2, likewise",
    "owasp": "entries of the OWASP Machine Learning Security Top 10, likewise",
}
KNOWLEDGE = {"knowledge": "what the attacker knows beside the answers of the model"}
ACCESS = {"access": "the most that the attacker sees of an answer"}
# One column for each measurement of the data set, under its own name.
MEASUREMENT = {"<measurement>": "the value of this measurement, in clinical units"}
