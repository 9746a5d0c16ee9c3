"""Its code runs on the processor; without a GPU it says so; what it moves is moved whole."""

import json
from dataclasses import fields

import pytest
import torch

import tiny
from benchmarks import gpu
from pipeline import kernels
from pipeline.files import BadInput
from pipeline.verify.network import Network
from pipeline.verify.problem import Boxes

pytestmark = pytest.mark.heavy


@pytest.fixture(autouse=True)
def chosen(monkeypatch):
    monkeypatch.setattr(kernels, "_chosen", ["cpu"])


def test_without_a_gpu_it_says_so_in_a_line(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BadInput, match=r"^device: cuda, but [^\n]+$"):
        gpu.main([])


@pytest.mark.slow
def test_on_the_processor_it_agrees_with_itself(monkeypatch, tmp_path):
    small = gpu.TINY._replace(members=1, shadows=3)
    monkeypatch.setattr(gpu, "TINY", small)
    gpu.main(["--cpu", "--out", str(tmp_path / "gpu.json")])
    found = json.loads((tmp_path / "gpu.json").read_text())
    for kind in ("records", "images"):
        assert found[kind]["same_bytes_twice"]
        assert found["agreement"][kind] == {"log_odds": 0, "margins": 0, "within": True}
    assert found["shadow_models"]["models"] == 3
    assert found["verifier"]["boxes_a_second"] > 0


def test_a_difference_is_found(monkeypatch):
    dataset, cfg = tiny.records(60, seed=0), gpu.load_problem().cfg
    fit, plan, times = gpu.fit_as_configured, tiny.plan(dataset), []

    def otherwise(*given):
        trained = fit(*given)
        times.append(1)
        if len(times) == 2:  # the first is attacked, the second is the device's
            trained.parameters["bias0"].add_(1)
        return trained

    same = gpu.agreement(dataset, plan, cfg, tiny.CLINICAL, 0.3)
    assert same == {"log_odds": 0, "margins": 0, "within": True}
    monkeypatch.setattr(gpu, "fit_as_configured", otherwise)
    assert not gpu.agreement(dataset, plan, cfg, tiny.CLINICAL, 0.3)["within"]


def test_what_is_moved_is_moved_whole(monkeypatch):
    """The verifier's network and boxes, as far as `meta` can tell."""
    monkeypatch.setattr(kernels, "_chosen", ["meta"])
    dataset = tiny.records(20, seed=0)
    network = gpu.moved(Network.of(tiny.untrained(tiny.plan(dataset), dataset), 0))
    assert {one.device.type for layer in network.layers for one in layer} == {"meta"}
    assert {one.device.type for one in (network.impute, network.folded)} == {"meta"}
    boxes = gpu.moved(Boxes(torch.arange(2), *(torch.zeros(2, 3) for _ in range(3))))
    assert {getattr(boxes, one.name).device.type for one in fields(boxes)} == {"meta"}
