"""Votes of models that share no record: a certificate against poisoned training records.

Command:  python -m pipeline.stages.partition
Reads:    artifacts/prepare/
Writes:   artifacts/partition/{population.safetensors,population.json,metrics.json}
"""

from pipeline.stages import run
from pipeline.stages._training import train_stage

if __name__ == "__main__":
    run(train_stage("partition", defense="partition"))
