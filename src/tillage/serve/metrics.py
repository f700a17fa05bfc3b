"""What Prometheus is told: predictions, refusals, latency, waiting requests, versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


_MOST = ("tillage_model_version",)
"""Numbers that are no counts; of several workers the greatest is told."""


def summed(texts: Sequence[bytes], known: Mapping[str, float]) -> bytes:
    r"""The numbers of several workers as those of one server. `known`: what is of the server, and of no worker.

    >>> one = b'# TYPE a counter\na_total{s="x"} 1.0\n'
    >>> summed([one, one + b'a_total{s="y"} 2.0\n'], {}).decode().splitlines()
    ['# TYPE a counter', 'a_total{s="x"} 2.0', 'a_total{s="y"} 2.0']
    """
    families: dict[str, tuple[list[str], dict[str, float]]] = {}
    for text in texts:
        heads: list[str] = []
        samples: dict[str, float] = {}
        for line in text.decode().splitlines():
            if line.startswith("# HELP "):
                heads = [line]
            elif line.startswith("# TYPE "):
                name = line.split(" ")[2]
                _, samples = families.setdefault(name, ([*heads, line], {}))
                heads = []
            elif line:
                key, _, number = line.rpartition(" ")
                name, value = key.partition("{")[0], float(number)
                if name in known:
                    samples[key] = known[name]
                elif key not in samples:
                    samples[key] = value
                elif name in _MOST:
                    samples[key] = max(samples[key], value)
                else:
                    samples[key] = min(samples[key], value) if name.endswith("_created") else samples[key] + value
    lines = [line for heads, own in families.values() for line in (*heads, *(f"{k} {v!r}" for k, v in own.items()))]
    return "".join(f"{line}\n" for line in lines).encode()


class Metrics:
    """The numbers of one server.

    >>> metrics = Metrics()
    >>> metrics.answered("desk", rows=2, turned_away=1, seconds=0.002)
    >>> 'tillage_predictions_total{service="desk"} 1.0' in metrics.text().decode()
    True
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._predictions = Counter("tillage_predictions", "Rows predicted", ["service"], registry=self.registry)
        self._turned = Counter("tillage_rows_turned_away", "Rows without one", ["service"], registry=self.registry)
        self._refused = Counter("tillage_refused", "Requests refused", ["status"], registry=self.registry)
        self._seconds = Histogram(
            "tillage_request_seconds", "From body to answer", ["service"], buckets=_BOUNDS, registry=self.registry
        )
        self._version = Gauge("tillage_model_version", "Version that answers", ["service"], registry=self.registry)
        self._unfit = Counter("tillage_swaps_refused", "Versions found unfit", ["service"], registry=self.registry)
        self._labels = Counter("tillage_labels", "True labels that came", registry=self.registry)
        self._agree = Counter(
            "tillage_labels_of_classes",
            "True labels of predictions of late, by whether the prediction was that",
            ["service", "version", "agrees"],
            registry=self.registry,
        )
        self._shadowed = Counter(
            "tillage_shadow_rows", "Rows of a shadow, by how they compare", ["service", "how"], registry=self.registry
        )
        self._handed = Counter("tillage_handed_over", "Rows for a person", ["service"], registry=self.registry)
        self._lost = Gauge("tillage_predictions_unlogged", "Predictions that the disk refused", registry=self.registry)
        self._ready: dict[str, tuple[Counter, Counter, Histogram]] = {}

    def answered(self, service: str, rows: int, turned_away: int, seconds: float) -> None:
        """One request was answered."""
        known = self._ready.get(service)
        if known is None:
            known = self._ready[service] = (
                self._predictions.labels(service), self._turned.labels(service), self._seconds.labels(service)
            )  # fmt: skip
        known[0].inc(rows - turned_away)
        if turned_away:
            known[1].inc(turned_away)
        known[2].observe(seconds)

    def refused(self, status: int) -> None:
        """One request was refused."""
        self._refused.labels(str(status)).inc()

    def answers(self, service: str, version: int) -> None:
        """This version answers now."""
        self._version.labels(service).set(version)

    def unfit(self, service: str) -> None:
        """A version was tried and found unfit."""
        self._unfit.labels(service).inc()

    def labelled(self, n: int) -> None:
        """True labels came."""
        self._labels.inc(n)

    def compared(self, service: str, version: int, agrees: bool) -> None:
        """A true label came for a prediction of a class."""
        self._agree.labels(service, str(version), "yes" if agrees else "no").inc()

    def shadowed(self, service: str, how: str, rows: int) -> None:
        """A shadow answered the same or other than what was told, failed, or was passed over."""
        if rows:
            self._shadowed.labels(service, how).inc(rows)

    def handed(self, service: str, rows: int) -> None:
        """Rows were handed over to a person."""
        self._handed.labels(service).inc(rows)

    def unlogged(self, n: int) -> None:
        """So many predictions could not be logged since the start."""
        self._lost.set(n)

    def text(self) -> bytes:
        """All of it, in the text format of Prometheus."""
        return generate_latest(self.registry)
