"""Figures for Prometheus, in a registry of their own."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class Metrics:
    """The service's counters; one instance a service, safe on any thread."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.pipeline_errors = Counter(
            "icemargin_pipeline_errors", "Pipeline steps that failed", registry=self._registry
        )
        self.journal_errors = Counter(
            "icemargin_journal_errors", "Writes to the journal that failed", registry=self._registry
        )
        self.journal_waiting = Gauge(
            "icemargin_journal_waiting",
            "Changes that the database has not taken yet",
            registry=self._registry,
        )
        self.journal_lost = Counter(
            "icemargin_journal_lost",
            "Changes that were never journaled: too many waited, or their values can't be written",
            ["kind"],
            registry=self._registry,
        )
        self.analysis_failures = Counter(
            "icemargin_analysis_failures", "Analyses that died or raised", registry=self._registry
        )
        self.analysis_restarts = Counter(
            "icemargin_analysis_restarts",
            "Times that analysis processes were replaced: they hung, died or were out of memory",
            registry=self._registry,
        )
        self.measurements = Counter(
            "icemargin_measurements",
            "Series by role and assessment",
            ["role", "assessment"],
            registry=self._registry,
        )
        self.alerts = Counter(
            "icemargin_alerts",
            "Changes of alerts by condition and state",
            ["condition", "state"],
            registry=self._registry,
        )
        self.clients = Gauge(
            "icemargin_stream_clients", "Displays connected", registry=self._registry
        )
        self.listener = Gauge(
            "icemargin_listener",
            "What the DICOM listener has done since start",
            ["what"],
            registry=self._registry,
        )
        self.peers = Gauge(
            "icemargin_peer",
            "What each peer of the DICOM listener has done since start",
            ["peer", "what"],
            registry=self._registry,
        )
        self.archives = Gauge(
            "icemargin_archive",
            "What waits for each archive and was sent to it since start",
            ["archive", "what"],
            registry=self._registry,
        )
        self.restarts = Gauge(
            "icemargin_process_restarts",
            "Times that a process was started again since the service's start",
            ["process"],
            registry=self._registry,
        )
        self._stage = Histogram(
            "icemargin_analysis_stage_seconds",
            "Wall time of each stage of an analysis",
            ["stage"],
            registry=self._registry,
        )

    def stages(self, seconds: Mapping[str, float]) -> None:
        """Note how long each stage of an analysis took."""
        for name, value in seconds.items():
            self._stage.labels(name).observe(value)

    def text(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self._registry)
