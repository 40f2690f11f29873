"""Prometheus metrics of a process, named and with units by its conventions."""

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, write_to_textfile
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from shared.vocabulary.states import State


def new_registry() -> CollectorRegistry:
    """A registry of its own for one process, with what Prometheus expects of any."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


class MessageMetrics:
    """What happens to messages."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._handled = Counter(
            "ra_messages_handled",
            "Messages settled, by type and result.",
            ["type", "result"],
            registry=registry,
        )
        self._published = Counter(
            "ra_messages_published",
            "Messages published and confirmed, by exchange.",
            ["exchange"],
            registry=registry,
        )
        self._refused = Counter(
            "ra_refusals", "Findings with which something was refused, by code.", ["code"], registry=registry
        )
        self._parked = Counter(
            "ra_messages_parked", "Messages parked because of a failure of ours.", ["type"], registry=registry
        )
        self._unroutable = Counter(
            "ra_messages_unroutable", "Messages that no queue took.", ["exchange"], registry=registry
        )
        self._retried = Counter(
            "ra_handlings_retried",
            "Handlings repeated because a dependency was away.",
            ["type"],
            registry=registry,
        )
        self._work_done = Counter("ra_work_done", "Steps of scheduled work that were done.", registry=registry)
        self._work_failed = Counter(
            "ra_work_failed",
            "Steps of scheduled work that failed through a fault of ours.",
            registry=registry,
        )

    def handled(self, message_type: str, result: str) -> None:
        """A message was settled."""
        self._handled.labels(message_type, result).inc()

    def published(self, exchange: str) -> None:
        """The broker confirmed a message."""
        self._published.labels(exchange).inc()

    def refused(self, code: str) -> None:
        """Something was refused with this finding."""
        self._refused.labels(code).inc()

    def parked(self, message_type: str) -> None:
        """A message was parked."""
        self._parked.labels(message_type).inc()

    def unroutable(self, exchange: str) -> None:
        """No queue took a message."""
        self._unroutable.labels(exchange).inc()

    def retried(self, message_type: str) -> None:
        """A handling has to be repeated."""
        self._retried.labels(message_type).inc()

    def work_done(self) -> None:
        """A step of scheduled work was done."""
        self._work_done.inc()

    def work_failed(self) -> None:
        """A step of scheduled work failed; it is tried again."""
        self._work_failed.inc()


class DependencyMetrics:
    """Whether the servers that this process needs are there."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._up = Gauge("ra_dependency_up", "Whether a dependency works: 1 or 0.", ["dependency"], registry=registry)

    def set(self, dependency: str, *, up: bool) -> None:
        """Note the dependency's state."""
        self._up.labels(dependency).set(int(up))


class DatabaseMetrics:
    """Calls of the database, counted where the driver sends them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._operations = Counter(
            "ra_database_operations",
            "Commands sent to the database: read, write, or poll for due work.",
            ["kind"],
            registry=registry,
        )
        for kind in ("read", "write", "poll"):
            self._operations.labels(kind)

    def count(self, kind: str) -> None:
        """A command was sent."""
        self._operations.labels(kind).inc()


class CaMetrics:
    """Calls of the CA, counted where the client sends them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._calls = Counter(
            "ra_ca_calls",
            "Calls of the CA, by endpoint and result.",
            ["endpoint", "result"],
            registry=registry,
        )

    def count(self, endpoint: str, result: str) -> None:
        """A call was answered, or not."""
        self._calls.labels(endpoint, result).inc()


class OrderMetrics:
    """What waits in the issuer's ledger, and how much of the CA's rate limit is used: the same in all its copies."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._waiting = Gauge(
            "ra_orders_waiting", "Orders that are not at their end, by their state.", ["state"], registry=registry
        )
        self._oldest = Gauge(
            "ra_orders_oldest_seconds",
            "How long ago the oldest of them was accepted, by its state; 0 if there is none.",
            ["state"],
            registry=registry,
        )
        self._feed_age = Gauge(
            "ra_ca_feed_age_seconds",
            "How long ago the CA's status feed was read to its end, at the last look; 0 while nothing waits there.",
            registry=registry,
        )
        self._quota = Gauge(
            "ra_ca_quota_used_ratio",
            "Which part of the CA's rate limit is used, by the seconds of its window; 1 while the CA wants no call.",
            ["window"],
            registry=registry,
        )

    def feed_read(self, *, age_seconds: float) -> None:
        """The CA's status feed was read to its end so long ago."""
        self._feed_age.set(age_seconds)

    def waiting(self, state: str, count: int, *, oldest_seconds: float) -> None:
        """So many wait in this state, the oldest for so long."""
        self._waiting.labels(state).set(count)
        self._oldest.labels(state).set(oldest_seconds)

    def quota(self, used: Mapping[float, float]) -> None:
        """Such a part of each window is used, by its length in seconds."""
        for seconds, part in used.items():
            self._quota.labels(f"{seconds:g}").set(part)


class MailMetrics:
    """Mails, in words of their news: `issued`, `pending` and so on."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._sent = Counter("ra_mails_sent", "Mails that the mail server took.", ["news"], registry=registry)
        self._put_off = Counter(
            "ra_mails_put_off", "Mails that the mail server did not take yet.", ["news"], registry=registry
        )
        self._failed = Counter(
            "ra_mails_failed",
            "Mails that were given up: the mail server refused them for good, or too often.",
            ["news"],
            registry=registry,
        )
        self._unwelcome = Counter(
            "ra_mails_unwelcome", "Mails that the mail server does not take from us.", ["news"], registry=registry
        )
        self._waiting = Gauge("ra_mails_waiting", "Mails that are not sent yet.", registry=registry)
        self._oldest = Gauge(
            "ra_mails_oldest_seconds",
            "How long ago that happened of which the oldest unsent mail tells; 0 if there is none.",
            registry=registry,
        )

    def sent(self, news: str) -> None:
        """The server took one."""
        self._sent.labels(news).inc()

    def put_off(self, news: str) -> None:
        """The server did not take one now."""
        self._put_off.labels(news).inc()

    def unwelcome(self, news: str) -> None:
        """The server does not take one from us."""
        self._unwelcome.labels(news).inc()

    def failed(self, news: str) -> None:
        """One was given up."""
        self._failed.labels(news).inc()

    def waiting(self, count: int, *, oldest_seconds: float) -> None:
        """So many wait, the oldest for so long."""
        self._waiting.set(count)
        self._oldest.set(oldest_seconds)


class RequestMetrics:
    """How many requests stand where, as far as they are tallied: the same in all copies of intake."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Gauge(
            "ra_requests",
            "Requests by approval group and state, as they were tallied last.",
            ["approval_group", "state"],
            registry=registry,
        )

    def counted(self, group: str, counts: Mapping[State, int]) -> None:
        """So many requests of this group stand in each state."""
        for state in State:
            self._requests.labels(group, str(state)).set(counts.get(state, 0))


class EvidenceMetrics:
    """Evidence that did not hold."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._refused = Counter(
            "ra_evidence_refused",
            "Evidence that did not hold, by the finding's code.",
            ["code"],
            registry=registry,
        )

        self._quarantined = Counter(
            "ra_certificates_quarantined",
            "Certificates of the CA that are held back, as they are not what was approved.",
            registry=registry,
        )

    def refused(self, code: str) -> None:
        """A piece of evidence was refused."""
        self._refused.labels(code).inc()

    def quarantined(self, codes: Iterable[str]) -> None:
        """A certificate of the CA's was held back because of these findings."""
        self._quarantined.inc()
        for code in codes:
            self.refused(code)


class CaseMetrics:
    """What waits for its approvers: the same in all copies of approval."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._oldest = Gauge(
            "ra_requests_oldest_undecided_seconds",
            "How long ago the oldest undecided request was accepted, by approval group; 0 if there is none.",
            ["approval_group"],
            registry=registry,
        )

    def oldest(self, seconds: Mapping[str, float]) -> None:
        """So long the oldest of each of these groups waits; of others there is nothing to tell."""
        self._oldest.clear()
        for group, age in seconds.items():
            self._oldest.labels(group).set(age)


class FactsMetrics:
    """What approval heard of the CA's products."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._taken_at = Gauge(
            "ra_product_facts_taken_timestamp_seconds",
            "When the CA was asked for the newest facts that this process heard, by signing certificate.",
            ["signing_certificate"],
            registry=registry,
        )

    def heard(self, name: str, taken_at: datetime) -> None:
        """The issuer told what the CA said at this time."""
        self._taken_at.labels(name).set(taken_at.timestamp())


class PolicyMetrics:
    """The policy in force."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._info = Gauge(
            "ra_policy_info",
            "The policy in force, by its digest; the value is its serial.",
            ["digest"],
            registry=registry,
        )
        self._refused = Counter("ra_policy_refused", "Changed policies that were not taken up.", registry=registry)

    def in_force(self, digest: str, serial: int) -> None:
        """Another policy is in force."""
        self._info.clear()
        self._info.labels(digest).set(serial)

    def refused(self) -> None:
        """A changed policy was not taken up."""
        self._refused.inc()


class RevocationMetrics:
    """The clocks of open revocations."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._open = Gauge(
            "ra_revocations_open",
            "Open revocations of which at least so many hundredths of the time allowed are over.",
            ["used"],
            registry=registry,
        )
        self._oldest = Gauge(
            "ra_revocation_clock_used_ratio",
            "Of the open revocation that is nearest to its deadline: which part of the time allowed is over.",
            registry=registry,
        )

    def clocks(self, used: Collection[float], marks: Iterable[int]) -> None:
        """So much of the time allowed is over, of each open revocation."""
        for mark in (0, *marks):
            self._open.labels(str(mark)).set(sum(each * 100 >= mark for each in used))
        self._oldest.set(max(used, default=0.0))


class ReconciliationMetrics:
    """What a reconciliation with the CA found, for a file that Prometheus' node exporter collects."""

    def __init__(self, kinds: Collection[str]) -> None:
        self._registry = CollectorRegistry()
        self._found = Gauge(
            "ra_reconcile_discrepancies",
            "What the last reconciliation found, by kind.",
            ["kind"],
            registry=self._registry,
        )
        self._orders = Gauge(
            "ra_reconcile_orders", "Orders of the CA that the last reconciliation looked at.", registry=self._registry
        )
        self._succeeded = Gauge(
            "ra_reconcile_last_success_timestamp_seconds",
            "When a reconciliation last came to its end, whatever it found.",
            registry=self._registry,
        )
        for kind in kinds:
            self._found.labels(kind)

    def succeeded(self, found: Iterable[str], *, orders: int, at: datetime) -> None:
        """A reconciliation has come to its end with discrepancies of these kinds."""
        for kind in found:
            self._found.labels(kind).inc()
        self._orders.set(orders)
        self._succeeded.set(at.timestamp())

    def write(self, path: Path) -> None:
        """Put them into this file, all at once.

        Raises:
            OSError: it can't be written.
        """
        write_to_textfile(str(path), self._registry)


def note_build(registry: CollectorRegistry, *, duty: str, version: str) -> None:
    """Say which build runs."""
    Gauge("ra_build_info", "This build.", ["duty", "version"], registry=registry).labels(duty, version).set(1)


def note_blocklist(registry: CollectorRegistry, loaded: Callable[[], bool]) -> None:
    """Say whether keys are compared with those that were published."""
    gauge = Gauge("ra_blocklist_loaded", "Whether keys are looked up in a blocklist: 1 or 0.", registry=registry)
    gauge.set_function(lambda: float(loaded()))
