"""The types of the configuration."""

from pipeline.config.base import (
    BASELINE,
    Count,
    Goal,
    Name,
    NonNegative,
    Norm,
    Positive,
    Section,
    Share,
    Unit,
)
from pipeline.config.cohort import DataConfig, FeatureConfig, ReadingConfig, same_cell
from pipeline.config.formulas import Formula, Relation
from pipeline.config.settings import (
    AuditConfig,
    Config,
    DecisionConfig,
    ModelConfig,
    PlanConfig,
    ReportConfig,
    Rule,
    ThreatConfig,
    TrainConfig,
    canonical,
    check,
)

__all__ = [
    "BASELINE",
    "AuditConfig",
    "Config",
    "Count",
    "DataConfig",
    "DecisionConfig",
    "FeatureConfig",
    "Formula",
    "Goal",
    "ModelConfig",
    "Name",
    "NonNegative",
    "Norm",
    "PlanConfig",
    "Positive",
    "ReadingConfig",
    "Relation",
    "ReportConfig",
    "Rule",
    "Section",
    "Share",
    "ThreatConfig",
    "TrainConfig",
    "Unit",
    "canonical",
    "check",
    "same_cell",
]
