"""Adversarial training against a mixture of attacks.

Command:  python -m pipeline.stages.adv_train
Reads:    artifacts/prepare/
Writes:   artifacts/adv_train/{population.safetensors,population.json,metrics.json}
"""

from pipeline.stages import run
from pipeline.stages._training import train_stage

if __name__ == "__main__":
    run(train_stage("adv_train", defense="adv_train"))
