"""The account that the sandbox plays."""

from dataclasses import dataclass, field
from pathlib import Path

from tests.sandbox.authority import Authority
from tests.sandbox.clock import SandboxClock
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
        """The order as the API shows it, which may lag."""
        lag = self.panel.knobs.info_lag_seconds
        return order.as_of(self.clock.now() - lag) if lag else order
