"""Counts of the guard for Prometheus, read off what all workers keep together."""

from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

MODES = ("serving", "refer all", "stopped")


class Collected:
    """The families of one scrape."""

    def __init__(self, shown: Mapping[str, Any], mode: str, unknown: int) -> None:
        """Of what `Watch.shown` says, the state of the switch, and keys that nobody knows."""
        self.shown, self.mode, self.unknown = shown, mode, unknown

    def collect(self) -> Iterable[Metric]:
        """As the library asks for them."""
        records = CounterMetricFamily(
            "medsecure_records", "records and events by what became of them", labels=["kind"]
        )
        for kind, count in self.shown["counts"].items():
            records.add_metric([kind], count)
        yield records
        switch = GaugeMetricFamily("medsecure_state", "1 for the state it is in", labels=["state"])
        for mode in MODES:
            switch.add_metric([mode], float(mode == self.mode))
        yield switch
        evidence = GaugeMetricFamily(
            "medsecure_stream_evidence",
            "value of a stream's detector over its threshold; 1 = an alarm",
            labels=["stream"],
        )
        for stream in self.shown["streams"]:
            if stream["client"] is None:
                evidence.add_metric([stream["stream"]], stream["value"] / stream["threshold"])
        yield evidence
        yield CounterMetricFamily(
            "medsecure_unknown_keys", "requests of this worker with no valid key", self.unknown
        )


def exposition(shown: Mapping[str, Any], mode: str, unknown: int) -> str:
    """The text that Prometheus scrapes; clients are not named."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collected(shown, mode, unknown))
    return generate_latest(registry).decode()
