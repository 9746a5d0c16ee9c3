"""A launcher is told as Hydra's users tell it, and is no part of a job."""

import pytest

import tiny
from pipeline.files import BadInput
from pipeline.project.composition import jobs
from pipeline.project.launchers import LOCAL, RAY, SLURM, launcher_of

pytestmark = pytest.mark.heavy
CONF = tiny.ROOT / "conf"


def test_ray_has_the_keys_of_its_plugin_and_the_jobs_know_nothing_of_it():
    told = ["hydra/launcher=ray", "seed=0,1", "+hydra.launcher.ray.init.num_cpus=2"]
    launcher, rest = launcher_of(told, CONF)
    assert launcher.kind == RAY
    assert launcher.settings == {"ray": {"init": {"address": None, "num_cpus": 2}, "remote": {}}}
    assert rest == ["seed=0,1"]
    assert jobs(rest) == [["seed=0"], ["seed=1"]]


def test_submitit_has_the_keys_of_its_plugin():
    local, _ = launcher_of(["hydra/launcher=submitit_local"], CONF)
    slurm, _ = launcher_of(["hydra/launcher=submitit_slurm", "hydra.launcher.partition=gpu"], CONF)
    assert (local.kind, slurm.kind) == (LOCAL, SLURM)
    assert slurm.settings["partition"] == "gpu"
    assert local.settings.items() <= (slurm.settings | local.settings).items()
    assert local.settings["submitit_folder"] == "sweeps/.submitit/%j"


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (["hydra/launcher=rai"], "did you mean 'ray'"),
        (["hydra/launcher=ray,basic"], "a sweep has one launcher"),
        (
            ["hydra/launcher=ray", "hydra.launcher.ray.init.num_cpus=2"],
            r"append .* use \+hydra\.launcher\.ray\.init\.num_cpus=2",
        ),
        (["hydra/launcher=submitit_local", "hydra.launcher.partitio=a"], "launcher.partitio"),
        (["++hydra.launcher._target_=some.Other"], r"some\.Other: not known here; take basic, ray"),
    ],
)
def test_what_is_no_launcher_is_refused_in_one_line(told, why):
    with pytest.raises(BadInput, match=why) as refused:
        launcher_of(told, CONF)
    assert "\n" not in str(refused.value)
