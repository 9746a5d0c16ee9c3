"""Where models stand out of fold whose cut others chose, and whose cut they chose themselves.

    python -m benchmarks.cuts [override ...]

Each line: a defense, who chose the cut, the mean of the cuts (log-odds) and their deviation between
models, and sensitivity and specificity among patients whom the models did not see. A defense with a
guarantee has one public cut.
"""

import sys

import pandas as pd
import torch

from pipeline.data.plan import Plan
from pipeline.data.raw import read_raw
from pipeline.defenses.trained import train, train_reported
from pipeline.files import repository_root
from pipeline.models.answers import predicted
from pipeline.models.out_of_fold import margins_out_of_fold
from pipeline.params import configured
from pipeline.statistics import rates


def main() -> None:
    cfg = configured(sys.argv[1:])
    torch.set_num_threads(cfg.threads)
    dataset, _ = read_raw(cfg.data, repository_root())
    plan = Plan.of(dataset, cfg.plan, cfg.seed)
    lines = []
    for name in cfg.chosen(["baseline", *cfg.examine]):
        for recipe in (train_reported, train):
            models = recipe(name, dataset, plan, cfg)
            margins, y = margins_out_of_fold(models, dataset, plan)
            figures = rates.classification(predicted(margins[0].numpy(), y.numpy()), y.numpy())
            cuts = models.cut[plan.scored()]
            line = {"defense": name, "chosen on": models.facts["decision"]["chosen_on"]}
            line |= {"cut": float(cuts.mean()), "deviation": float(cuts.std())}
            lines.append(line | {key: figures[key] for key in ("sensitivity", "specificity")})
    print(pd.DataFrame(lines).drop_duplicates().round(3).to_string(index=False))


if __name__ == "__main__":
    main()
