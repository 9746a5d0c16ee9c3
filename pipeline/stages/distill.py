"""Defensive distillation: teacher and student share the plan.

Command:  python -m pipeline.stages.distill
Reads:    artifacts/prepare/
Writes:   artifacts/distill/{population.safetensors,population.json,metrics.json}
"""

from pipeline.stages import run
from pipeline.stages._training import train_stage

if __name__ == "__main__":
    run(train_stage("distill", defense="distill"))
