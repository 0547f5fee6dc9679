"""The figures as Prometheus has them: one table of names, kinds, words and where the numbers are.

Names follow Prometheus's conventions: base units in the name, `_total` for what only grows. Labels come from the configuration
and from code alone, so that there are few of them and no address is among them. Nothing is counted here; a scrape reads one
picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any

from attrs import frozen
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily

from mailfw import __version__

Sample = tuple[Sequence[str], Any]
"""Values of the labels, and the number, or the timing of a histogram; None: there is none."""

_FAMILIES: dict[str, Any] = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily}


@frozen
class Metric:
    """:ivar kind: `counter`, `gauge` or `histogram`. :ivar samples: finds them in `Figures.gather`'s picture."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...]
    samples: Callable[[dict[str, Any]], Iterable[Sample]]


def _of(table: str, label: str, *keys: str) -> Callable[[dict[str, Any]], Iterable[Sample]]:
    """From each row of a table, labelled by one of its fields."""

    def samples(seen: dict[str, Any]) -> Iterator[Sample]:
        for row in seen[table]:
            found: Any = row
            for key in keys:
                found = None if found is None else found.get(key)
            yield (row[label],), found

    return samples


def _byWord(*keys: str) -> Callable[[dict[str, Any]], Iterable[Sample]]:
    """From a mapping of words to numbers, labelled by the words."""

    def samples(seen: dict[str, Any]) -> Iterator[Sample]:
        found: Any = seen
        for key in keys:
            found = found[key]
        return (((word,), count) for word, count in found.items())

    return samples


def _database(key: str, scale: Callable[[Any], Any] = lambda value: value) -> Callable[[dict[str, Any]], Iterable[Sample]]:
    def samples(seen: dict[str, Any]) -> Iterator[Sample]:
        for row in seen["databases"]:
            found = row.get(key)
            yield (row["part"], row["database"]), None if found is None else scale(found)

    return samples


def _one(find: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Iterable[Sample]]:
    return lambda seen: [((), find(seen))]


def _words(table: str, words: Sequence[str], group: str = "") -> Callable[[dict[str, Any]], Iterable[Sample]]:
    """From each service's row, labelled by service and word."""

    def samples(seen: dict[str, Any]) -> Iterator[Sample]:
        for row in seen[table]:
            counts = row[group] if group else row
            yield from (((row["service"], word), counts[word]) for word in words)

    return samples


def _oldest(seen: dict[str, Any]) -> float | None:
    queue = seen["queue"]
    if queue["recipients"] is None:
        return None
    return max(0.0, seen["time"] - queue["oldest"]) if queue["oldest"] else 0.0


_SERVICE, _DATABASE = ("service",), ("part", "database")
_OUTCOME = ("accepted", "deferred", "refused")

METRICS = (
    Metric("mailfw_ready", "gauge", "Whether the server can do its work (1), as /readyz says.", (), _one(lambda s: s["isReady"])),
    Metric(
        "mailfw_start_time_seconds", "gauge", "When the server started, in seconds since the epoch.", (),
        _one(lambda s: s["since"]),
    ),
    Metric("mailfw_open_sessions", "gauge", "Sessions that are there now.", _SERVICE, _of("services", "service", "open")),
    Metric("mailfw_sessions_total", "counter", "Sessions that were begun.", _SERVICE, _of("services", "service", "begun")),
    Metric(
        "mailfw_refused_connections_total", "counter", "Connections that got no session because of a limit.", _SERVICE,
        _of("services", "service", "refused"),
    ),
    Metric("mailfw_received_bytes_total", "counter", "Octets from clients.", _SERVICE, _of("services", "service", "octetsIn")),
    Metric("mailfw_sent_bytes_total", "counter", "Octets to clients.", _SERVICE, _of("services", "service", "octetsOut")),
    Metric(
        "mailfw_command_duration_seconds", "histogram", "How long lines of commands took, waits included.", _SERVICE,
        _of("services", "service", "commands"),
    ),
    Metric(
        "mailfw_messages_total", "counter", "Messages that came in whole, by what the client was told.", ("service", "outcome"),
        _words("services", _OUTCOME, "messages"),
    ),
    Metric(
        "mailfw_message_duration_seconds", "histogram", "From the last octet of a message to the reply.", _SERVICE,
        _of("services", "service", "taking"),
    ),
    Metric(
        "mailfw_refusals_total", "counter", "Senders, recipients and messages that were refused.", _SERVICE,
        _of("services", "service", "refusals"),
    ),
    Metric("mailfw_logins_total", "counter", "Logins.", ("service", "outcome"), _words("logins", ("succeeded", "failed"))),
    Metric("mailfw_local_deliveries_total", "counter", "Deliveries to the own store.", ("fate",), _byWord("deliveries")),
    Metric("mailfw_relayed_recipients_total", "counter", "Recipients that relays settled.", ("fate",), _byWord("relayed")),
    Metric(
        "mailfw_queue_recipients", "gauge", "Recipients in the queue.", ("state",),
        lambda s: [((word,), s["queue"][word]) for word in ("waiting", "leased", "held")],
    ),
    Metric("mailfw_queue_due_recipients", "gauge", "Those that could be tried now.", (), _one(lambda s: s["queue"]["due"])),
    Metric("mailfw_queue_messages", "gauge", "Messages in the queue.", (), _one(lambda s: s["queue"]["messages"])),
    Metric("mailfw_queue_oldest_age_seconds", "gauge", "How long the oldest message has been in the queue.", (), _one(_oldest)),
    Metric(
        "mailfw_database_healthy", "gauge", "Whether the last transaction of a database went well (1).", _DATABASE,
        _database("trouble", lambda trouble: not trouble),
    ),
    Metric("mailfw_database_waiting_jobs", "gauge", "Changes that wait for the writer.", _DATABASE, _database("waiting")),
    Metric("mailfw_database_jobs_total", "counter", "Changes that were made.", _DATABASE, _database("jobs")),
    Metric(
        "mailfw_database_failures_total", "counter", "Transactions that the system failed.", _DATABASE, _database("failures")
    ),
    Metric("mailfw_database_last_group_jobs", "gauge", "Changes in the last transaction.", _DATABASE, _database("group")),
    Metric("mailfw_database_last_transaction_seconds", "gauge", "How long it took.", _DATABASE, _database("seconds")),
    Metric(
        "mailfw_database_transaction_duration_seconds", "histogram", "How long transactions took.", _DATABASE,
        _database("transactions"),
    ),
    Metric(
        "mailfw_database_commit_duration_seconds", "histogram", "How long their COMMIT took, which is mostly fsync.", _DATABASE,
        _database("commits"),
    ),
    Metric("mailfw_database_size_bytes", "gauge", "The file of a database.", _DATABASE, _database("octets")),
    Metric("mailfw_database_wal_bytes", "gauge", "Its write-ahead log.", _DATABASE, _database("walOctets")),
    Metric(
        "mailfw_index_lag_messages", "gauge", "Messages that no index has yet (up to 100,000).", _DATABASE, _database("unindexed")
    ),
    Metric("mailfw_disk_free_bytes", "gauge", "Room on a file system that data is on.", ("path",), _of("disks", "path", "free")),
    Metric("mailfw_disk_size_bytes", "gauge", "Its size.", ("path",), _of("disks", "path", "size")),
    Metric(
        "mailfw_hook_duration_seconds", "histogram", "How long calls of hooks took.", ("hook",), _of("hooks", "hook", "calls")
    ),
    Metric(
        "mailfw_hook_failures_total", "counter", "Calls that gave no answer, late ones among them.", ("hook",),
        _of("hooks", "hook", "failures"),
    ),
    Metric(
        "mailfw_reactor_lag_seconds", "histogram", "How late the reactor was, looked at a few times a second.", (),
        _one(lambda s: s["reactor"]["lags"]),
    ),
    Metric(
        "mailfw_reactor_stalls_total", "counter", "Times that something held the reactor for longer than [limits] stall_time.",
        ("culprit",), _byWord("reactor", "stalls"),
    ),
    Metric("mailfw_threads", "gauge", "Threads of the process.", (), _one(lambda s: s["process"]["threads"])),
)  # fmt: skip
"""All of ours; the process's own come from prometheus_client, by the names that every exporter has."""


class Collector:
    """What a registry asks. :ivar seen: the picture that it is told of, with `isReady` and `since`."""

    def __init__(self) -> None:
        self.seen: dict[str, Any] | None = None

    def collect(self) -> Iterator[Any]:
        """All metrics. :returns: families, which are not typed upstream."""
        yield InfoMetricFamily("mailfw", "The version of mailfw.", value={"version": __version__})
        if self.seen is not None:
            for metric in METRICS:
                yield _family(metric, self.seen)


def _family(metric: Metric, seen: dict[str, Any]) -> Any:
    if metric.kind == "histogram":
        histogram = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        for labels, timing in metric.samples(seen):
            if timing is not None:
                bounds = [*(f"{bound:g}" for bound in seen["bounds"]), "+Inf"]
                buckets = list(zip(bounds, map(float, accumulate(timing["counts"])), strict=True))
                histogram.add_metric(labels, buckets, timing["seconds"])
        return histogram
    family = _FAMILIES[metric.kind](metric.name.removesuffix("_total"), metric.help, labels=metric.labels)
    for labels, value in metric.samples(seen):
        if value is not None:
            family.add_metric(labels, float(value))
    return family
