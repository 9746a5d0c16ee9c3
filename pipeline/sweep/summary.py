"""What a sweep shows while it runs and at its end."""

import math
import sys
from typing import Any

import pandas as pd
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from tqdm import tqdm

from pipeline.report import how_to_compare


class Summary(Callback):
    """Hydra callback: a progress bar over the jobs of a sweep, and one table at its end."""

    def __init__(self) -> None:
        """Starts with no job seen."""
        self.lines: list[dict[str, Any]] = []
        self.bar: tqdm[Any] | None = None

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Counts the jobs: the product of the choices of each override."""
        overrides = OverridesParser.create().parse_overrides(list(config.hydra.overrides.task))
        jobs = math.prod(
            len(list(o.sweep_string_iterator())) for o in overrides if o.is_sweep_override()
        )
        self.bar = tqdm(total=jobs, desc="sweep", unit="run", file=sys.stderr)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_: Any) -> None:
        """Keeps the figures of a finished job."""
        if job_return.status.name == "COMPLETED":
            overrides = " ".join(config.hydra.overrides.task)
            self.lines += [{"overrides": overrides, **line} for line in job_return.return_value]
        if self.bar is not None:
            self.bar.update()
        else:
            self._print()

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Prints the table."""
        if self.bar is not None:
            self.bar.close()
        self._print()

    def _print(self) -> None:
        if self.lines:
            print(pd.DataFrame(self.lines).to_string(index=False, na_rep="-"))
            print(f"\n{how_to_compare()}")
