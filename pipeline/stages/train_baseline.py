"""No defence: the model as a team would train it.

Command:  python -m pipeline.stages.train_baseline
Reads:    artifacts/prepare/
Writes:   artifacts/train_baseline/{population.safetensors,population.json,metrics.json}
"""

from pipeline.stages import run
from pipeline.stages._training import train_stage

if __name__ == "__main__":
    run(train_stage("train_baseline", defense="baseline"))
