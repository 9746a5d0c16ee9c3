"""The types of the configuration."""

from pipeline.config.auditing import AuditConfig
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
from pipeline.config.formulas import Formula, Relation, named
from pipeline.config.settings import (
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
    configuration_sha256,
    schema_sha256,
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
    "configuration_sha256",
    "named",
    "same_cell",
    "schema_sha256",
]
