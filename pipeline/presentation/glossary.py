"""The words of the field in plain ones; those of single risks are explained by these."""

from collections.abc import Mapping

GLOSSARY: Mapping[str, str] = {
    "eps": "how far a measurement may be forged: 1 is one spread of it among adults, a constant of "
    "the data set; a table says what that is in clinical units",
    "epsilon, delta": "how much the answers may depend on any one patient, at most, as "
    "differential privacy promises; smaller is more private. Not eps",
    "sensitivity": "of all ill patients, the share that the model calls ill",
    "specificity": "of all healthy patients, the share that the model calls healthy",
    "missed diagnoses": "ill patients whom the model calls healthy: 1 - sensitivity",
    "false alarms": "healthy patients whom the model calls ill: 1 - specificity",
    "AUROC": "how often the model gives an ill patient a higher score than a healthy one; 0.5 is "
    "guessing. Of an attack on privacy: a member than another",
    "Brier score": "mean squared distance of the predicted probability from what happened; 0 is "
    "perfect",
    "robust accuracy": "the share of right answers that nothing tried here turned",
    "proved": "an exact search over all records that the threat allows found none that turns the "
    "answer; where it was not finished, the answer is undecided",
    "defense": "a way of training or answering that is meant to make an attack harder",
    "undefended": "models trained without a defense (baseline): what others are compared with",
    "flag": "a finding that makes the figures of a defense doubtful or harmful: hidden gradients, "
    "one answer for all, a leak, a group of patients that loses by it",
    "interval": "a range that holds what the figure estimates in the share of audits that the "
    "page names (95 % as a rule), were each done on other patients",
    "paired": "of the difference between two defenses: taken on the same patients, so that it "
    "can be told more finely than the two figures can",
    "not told apart": "so many patients cannot show whether there is a difference; it does not "
    "mean that there is none",
    "Pareto front": "defenses that no other one beats in every figure that is weighed",
}
