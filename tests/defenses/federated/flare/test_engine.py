"""NVFlare gives the bits of our loop, and no record leaves the process of its hospital."""

import os
import socket
import threading
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny
from pipeline.config import ModelConfig, TrainConfig
from pipeline.defenses.federated.aggregate import aggregated
from pipeline.defenses.federated.flare import engine
from pipeline.defenses.federated.flare.wire import called
from pipeline.defenses.federated.local import Training, ordinary
from pipeline.defenses.federated.loop import federate, packed
from pipeline.defenses.federated.private import measured_local
from pipeline.defenses.federated.sites import hospitals_of, sites_of
from pipeline.defenses.privacy import NoisySteps
from pipeline.files import BadInput, FailedCheck
from pipeline.models.designs import architecture_of, initialised

LONG = pytest.mark.timeout(600)  # NVFlare starts a dozen processes
needs_nvflare = pytest.mark.skipif(find_spec("nvflare") is None, reason="NVFlare is not installed")
MODEL = ModelConfig(name="mlp", hidden=[16])
TRAIN = TrainConfig(epochs=1, batch_size=16, learning_rate=0.01, weight_decay=1e-3)
ROUNDS, COUNT, WINDOW = 2, 3, 12  # a window: three values of float32
NOISY = NoisySteps(2.0, 0.5, 3, 20.0, 0.5, 0.02)


class Told:
    """What the engine reads of a configuration."""

    model, train = MODEL, TRAIN


def parties(dataset):
    plan = tiny.plan(dataset)
    sites = sites_of(dataset, plan, hospitals_of(dataset, COUNT, "age"))
    return sites, initialised(architecture_of(dataset.schema, MODEL), plan.seeds)


def by_loop(sites, start, rule, tolerated):
    """Final weights, and what every hospital sent."""
    seen = []
    training = Training(architecture_of(sites[0].dataset.schema, MODEL), TRAIN, ROUNDS, 1)
    rules = aggregated(rule, tolerated)
    end = federate(sites, start, ROUNDS, ordinary(training), rules, watch=seen.append)
    return packed(end), seen


def through(name, sites, start, rule, tolerated, **more):
    told = {"rounds": ROUNDS, "local_epochs": 1, "aggregate": rule, "tolerated": tolerated}
    return packed(engine.federate_through(name, sites, start, Told, **told, **more).parameters)


def values_of(array):
    """Every three values that follow one another, but for those that may be anything's."""
    rows = np.ascontiguousarray(array, np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(rows, 3, axis=1).reshape(-1, 3)
    telling = [one for one in windows if len(set(one.tolist())) == 3 and not np.isnan(one).any()]
    return {np.ascontiguousarray(one).tobytes() for one in telling}


def found(needles, haystack):
    """Which of them stand anywhere in the bytes."""
    places = range(len(haystack) - WINDOW + 1)
    return {haystack[place : place + WINDOW] for place in places} & needles


def forms(dataset):
    """A hospital's records as they are, and as networks see them."""
    center = torch.tensor([one.center for one in dataset.schema.features])
    scale = torch.tensor([one.scale for one in dataset.schema.features])
    x = dataset.x
    return values_of(x.numpy()) | values_of(((x - center) / scale).numpy())


def text_of(dataset):
    """The start of each record, as numbers are written."""
    return [", ".join(repr(value) for value in row[:3]).encode() for row in dataset.x.tolist()]


def recorded_in(place, monkeypatch):
    """From now on processes of NVFlare keep every message that they send."""
    recorder = str(Path(__file__).with_name("recorder"))
    before = [one for one in [os.environ.get("PYTHONPATH")] if one]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([recorder, *before]))
    monkeypatch.setenv("RECORDED", str(place))


def sent_by(site, place):
    files = sorted(place.glob(f"{called(site.number)}.*"))
    return b"".join(file.read_bytes() for file in files)


# ---- one result, whichever carries the weights ----


@LONG
@pytest.mark.slow
@needs_nvflare
def test_simulated_hospitals_give_the_bits_of_our_loop(dataset):
    sites, start = parties(dataset)
    ours, _ = by_loop(sites, start, "mean", 0)
    assert torch.equal(through("nvflare", sites, start, "mean", 0), ours)


@LONG
@pytest.mark.slow
@needs_nvflare
def test_over_tls_the_bits_are_the_same_and_no_record_is_sent(dataset, tmp_path, monkeypatch):
    sites, start = parties(dataset)
    ours, seen = by_loop(sites, start, "median", 1)
    recorded_in(tmp_path, monkeypatch)
    assert torch.equal(through("nvflare_processes", sites, start, "median", 1), ours)
    for place, site in enumerate(sites):
        sent = sent_by(site, tmp_path)
        for exchange in seen:  # what is sent is seen here: the weights are
            assert found(values_of(exchange.updates[place].numpy()), sent)
        assert len(forms(site.dataset)) > 2 * len(site.dataset.x)
        assert not found(forms(site.dataset), sent)
        assert not [one for one in text_of(site.dataset) if one in sent]


# ---- under differential privacy ----


def noisy_loop(sites, start, how):
    """Final weights, what every hospital sent, and what each measured of itself."""
    seen = []
    local, own = measured_local(architecture_of(sites[0].dataset.schema, MODEL), how, sites)
    end = federate(sites, start, ROUNDS, local, aggregated("mean", 0), watch=seen.append)
    return packed(end), seen, [one.checks() for each in own for one in each.witnesses]


@LONG
@pytest.mark.slow
@needs_nvflare
def test_noisy_hospitals_give_the_bits_of_our_loop_and_send_what_is_clipped_and_noised(
    dataset, tmp_path, monkeypatch
):
    """What is sent is what the loop sends with noise; what it would send without is nowhere.

    That the noise is as large as claimed is measured by the process of each hospital.
    """
    sites, start = parties(dataset)
    ours, seen, checks = noisy_loop(sites, start, NOISY)
    _, bare, _ = noisy_loop(sites, start, replace(NOISY, noise=0.0))
    recorded_in(tmp_path, monkeypatch)
    told = {"rounds": ROUNDS, "local_epochs": 1, "aggregate": "mean", "tolerated": 0}
    ended = engine.federate_through("nvflare_processes", sites, start, Told, **told, noisy=NOISY)
    assert torch.equal(packed(ended.parameters), ours)
    assert list(ended.checks) == checks
    for place, site in enumerate(sites):
        assert checks[place]["noise"].measured == pytest.approx(1.0, abs=0.1)
        sent = sent_by(site, tmp_path)
        for exchange in seen:
            assert found(values_of(exchange.updates[place].numpy()), sent)
        assert not found(values_of(bare[0].updates[place].numpy()), sent)
        assert not found(forms(site.dataset), sent)


def captured(stop, ready):
    """All that goes over the loopback device, until it is told to stop."""
    everything = socket.ntohs(0x0003)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, everything) as raw:
        raw.bind(("lo", 0))
        raw.settimeout(0.2)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 25)
        ready.set()
        while not stop.is_set():
            try:
                yield raw.recv(1 << 17)
            except TimeoutError:
                continue


def may_capture():
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()
    except (OSError, AttributeError):
        return False
    return True


@LONG
@pytest.mark.slow
@needs_nvflare
@pytest.mark.skipif(not may_capture(), reason="only root reads what goes over the wire")
def test_of_a_run_without_tls_the_wire_shows_weights_and_no_record(dataset):
    sites, start = parties(dataset)
    ours, seen = by_loop(sites, start, "trimmed_mean", 1)
    stop, ready, packets = threading.Event(), threading.Event(), []
    thread = threading.Thread(target=lambda: packets.extend(captured(stop, ready)))
    thread.start()
    ready.wait()
    try:
        told = through("nvflare_processes", sites, start, "trimmed_mean", 1, security="clear")
    finally:
        stop.set()
        thread.join()
    assert torch.equal(told, ours)
    wire = {one for packet in packets for one in _windows(packet)}
    for exchange in seen:
        assert values_of(exchange.updates.flatten(0, 1).numpy()) & wire
    for site in sites:
        assert not forms(site.dataset) & wire


def _windows(packet):
    return (packet[place : place + WINDOW] for place in range(len(packet) - WINDOW + 1))


def test_a_record_that_is_sent_is_found(dataset):
    row = dataset.x[3:4]
    assert found(forms(dataset), b"\x01" + row.numpy().tobytes() + b"rest")
    assert text_of(dataset)[3] in repr(row.tolist()).encode()


# ---- what stands in the way ----


@LONG
@pytest.mark.slow
@needs_nvflare
def test_a_hospital_that_cannot_train_ends_the_run_with_a_line(dataset, monkeypatch):
    hand_over = engine.hand_over

    def without_one(site, task, folder):
        hand_over(site, task, folder)
        if site.number == 1:
            (folder / "task.json").unlink()

    monkeypatch.setattr(engine, "hand_over", without_one)
    with pytest.raises(FailedCheck, match=r"engine: hospital-0002: [^;]*task\.json: not found"):
        through("nvflare", *parties(dataset), "mean", 0)


def test_without_nvflare_one_line_says_what_to_install(dataset, monkeypatch):
    monkeypatch.setattr(engine, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"pip install 'medsecure\[federated\]'"):
        through("nvflare", *parties(dataset), "mean", 0)


def test_what_nvflare_says_of_a_failure_is_told_and_nothing_is_left(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(engine.tempfile, "tempdir", str(tmp_path))
    failing = ["import sys", "print('x')", "print('Error: no port')", "sys.exit(1)"]
    monkeypatch.setattr(engine, "RUN", ["-c", "\n".join(failing)])
    monkeypatch.setattr(engine, "find_spec", lambda name: name)
    with pytest.raises(FailedCheck, match="NVFlare failed: Error: no port"):
        through("nvflare", *parties(dataset), "mean", 0)
    assert list(tmp_path.iterdir()) == []
