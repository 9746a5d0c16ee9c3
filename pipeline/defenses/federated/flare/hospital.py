"""A hospital's process: trains on its own records whenever the server sends weights.

NVFlare starts this file in the process of each hospital. Where its folder lies says the hospital
itself, by `MEDSECURE_HOSPITAL`; `{hospital}` in it stands for the name that the server knows it by.
"""

import os
from contextlib import suppress
from pathlib import Path

from pipeline.kernels import fix_kernels

fix_kernels()  # before torch and NumPy, which look at the processor once

import nvflare.client as flare
import torch

from pipeline.defenses.federated.flare.handed import FAILED, HOSPITAL, leave_checks, take_over
from pipeline.defenses.federated.flare.wire import NUMBERS, WEIGHTS
from pipeline.defenses.federated.local import ordinary
from pipeline.defenses.federated.loop import unpacked
from pipeline.defenses.federated.private import measured_local
from pipeline.files import BadInput
from pipeline.models.designs import initialised


def take_part(folder: Path) -> None:
    """Answers the server until it is done.

    Args:
        folder: of this hospital; where it cannot take part, the reason is left there.

    Raises:
        BadInput: a file of the folder is missing or damaged.
    """
    try:
        site, training, how = take_over(folder)
        local, own = ordinary(training), None
        if how is not None:
            local, (own,) = measured_local(training.architecture, how, [site])
        shapes = initialised(training.architecture, site.seeds)
        while flare.is_running() and (task := flare.receive()) is not None:
            weights = torch.from_numpy(task.params[WEIGHTS].copy())
            sent = local(unpacked(weights, shapes), site, task.current_round)
            if own is not None:  # before the last update is sent: then the run may be over
                leave_checks([one.checks() for one in own.witnesses], folder)
            params = {WEIGHTS: sent.update.numpy(), NUMBERS: sent.records.numpy()}
            flare.send(flare.FLModel(params=params, metrics={}))
    except BadInput as error:
        with suppress(OSError):
            (folder / FAILED).write_text(str(error), encoding="utf-8")
        raise


if __name__ == "__main__":
    torch.set_num_threads(1)  # as our loop; hospitals may share a machine
    flare.init()
    take_part(Path(os.environ[HOSPITAL].format(hospital=flare.get_site_name())))
