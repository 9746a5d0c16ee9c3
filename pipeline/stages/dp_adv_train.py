"""Adversarial training with a differential privacy guarantee.

Command:  python -m pipeline.stages.dp_adv_train
Reads:    artifacts/prepare/
Writes:   artifacts/dp_adv_train/{population.safetensors,population.json,metrics.json}
"""

from pipeline.stages import run
from pipeline.stages._training import train_stage

if __name__ == "__main__":
    run(train_stage("dp_adv_train", defense="dp_adv_train"))
