"""The account that the sandbox plays."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.sandbox.authority import Authority
from tests.sandbox.clock import SandboxClock
from tests.sandbox.errors import not_found
from tests.sandbox.gate import CallLog
from tests.sandbox.knobs import Panel
from tests.sandbox.ledger import Ledger
from tests.sandbox.roles import ApiKey
from tests.sandbox.state import Order


@dataclass
class Sandbox:
    """Its CA, its orders, its keys by value, its knobs, its clock and the record of calls."""

    authority: Authority
    ledger: Ledger
    keys: dict[str, ApiKey]
    panel: Panel
    clock: SandboxClock
    calls: CallLog = field(default_factory=CallLog)

    @classmethod
    def opened(cls, folder: Path, keys: tuple[ApiKey, ...], clock: SandboxClock | None = None) -> "Sandbox":
        """The account as it was left in this folder, or a new one."""
        authority, panel, clock = Authority(folder), Panel(), clock or SandboxClock()
        ledger = Ledger(folder, authority, panel, clock.now)
        return cls(authority, ledger, {key.value: key for key in keys}, panel, clock)

    def shown(self, order: Order) -> Order:
        """The order as the API shows it, which may lag: not_found|order while it is younger than that."""
        seen = self._seen(order)
        if seen is None:
            raise not_found("order")
        return seen

    def all_shown(self) -> Iterator[Order]:
        """Every order that the API shows by now, as it shows it, oldest first."""
        return (seen for order in self.ledger.orders() if (seen := self._seen(order)) is not None)

    def _seen(self, order: Order) -> Order | None:
        lag = self.panel.knobs.info_lag_seconds
        if not lag:
            return order
        known_before = self.clock.now() - lag
        return order.as_of(known_before) if order.created <= known_before else None
