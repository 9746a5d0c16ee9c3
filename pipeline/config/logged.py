"""The section `tracking`: how much of a job MLflow is told."""

from typing import Literal

from pipeline.config.base import Count, Section

Choice = bool | Literal["auto"]


class TrackingConfig(Section):
    """What MLflow holds of one defense, beside its run with parameters, metrics, tags and a note.

    `nested`: a nested run per setting of an attacker. `files`: the page, its tables, and the
    release model; without them they lie in `sweeps/` alone. auto = yes, but for sweeps of more than
    `many` jobs.
    """

    nested: Choice = "auto"
    files: Choice = "auto"
    many: Count = 200

    def of(self, jobs: int) -> "TrackingConfig":
        """The same for a sweep of so many jobs, with nothing left to be decided."""
        few = jobs <= self.many
        chosen = {
            name: few if value == "auto" else value
            for name, value in (("nested", self.nested), ("files", self.files))
        }
        return self.model_copy(update=chosen)
