"""Differentially private training to a target epsilon.

Command:  python -m pipeline.stages.dp_train
Reads:    artifacts/prepare/
Writes:   artifacts/dp_train/{population.safetensors,population.json,metrics.json}
"""

from pipeline.stages import run
from pipeline.stages._training import train_stage

if __name__ == "__main__":
    run(train_stage("dp_train", defense="dp_train"))
