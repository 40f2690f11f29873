"""A CA in memory: it takes orders, issues, lags, refuses, falls silent and is away, as it is told."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from services.issuer.ports import OrderRefusedError, OrderRequest, OrderUncertainError, PlacedOrder
from services.revoker.ports import RevocationRefusedError
from shared.errors import UnavailableError
from shared.vocabulary.findings import Finding, finding
from shared.vocabulary.names import CertificateId, OrderId
from shared.vocabulary.reasons import RevocationReason
from tests.fakes.faults import Steps
from tests.world import FixedClock, end_of, shared_ca

REFUSAL = finding("ca.refused", "the CA said: no")


@dataclass
class TakenOrder:
    """An order as the CA keeps it."""

    request: OrderRequest
    order_id: OrderId
    placed_at: datetime
    chain: tuple[bytes, ...] = ()
    ended: tuple[Finding, ...] = ()

    @property
    def certificate_id(self) -> CertificateId:
        return CertificateId(self.order_id + 1000)

    def shown(self) -> PlacedOrder:
        certificate_id = self.certificate_id if self.chain else None
        return PlacedOrder(self.order_id, certificate_id, self.chain, self.ended)


@dataclass
class FakeCa:
    """Orders are issued `slow` after they were placed; `lag` is how long its look-up misses a new order."""

    clock: FixedClock
    orders: list[TakenOrder] = field(default_factory=list)
    steps: Steps = field(default_factory=Steps)
    look_ups: int = 0
    slow: timedelta = timedelta(0)
    away: bool = False
    refuses: bool = False
    silent: bool = False
    """It takes the order and the answer is lost."""
    deaf: bool = False
    """The order is lost, and nobody can tell."""
    lag: timedelta = timedelta(0)
    takes: timedelta = timedelta(0)
    """How long placing an order lasts."""
    unfit: tuple[Finding, ...] = ()
    fit_is_known: bool = True
    common_name: str | None = None
    """What it puts into certificates instead of what was ordered."""

    async def place(self, order: OrderRequest) -> PlacedOrder:
        self.steps.step("before ordering")
        self._reach()
        self.clock.advance(self.takes)
        if self.refuses:
            raise OrderRefusedError(REFUSAL)
        if self.deaf:
            raise OrderUncertainError("no answer")
        taken = TakenOrder(order, OrderId(len(self.orders) + 1), self.clock.now())
        self.orders.append(taken)
        self._go_on()
        self.steps.step("after ordering")
        if self.silent:
            raise OrderUncertainError("no answer")
        return taken.shown()

    async def look_up(self, alternative_order_id: str) -> Sequence[PlacedOrder]:
        self._reach()
        self.look_ups += 1
        self._go_on()
        now = self.clock.now()
        return [
            PlacedOrder(taken.order_id, taken.certificate_id if taken.chain else None)
            for taken in self.orders
            if taken.request.alternative_order_id == alternative_order_id and taken.placed_at + self.lag <= now
        ]

    async def follow(self, order_id: OrderId) -> PlacedOrder:
        self._reach()
        self._go_on()
        return next(taken for taken in self.orders if taken.order_id == order_id).shown()

    async def check_fit(self, product: str, ca_cert_id: str, intermediate: bytes) -> list[Finding]:
        assert product, ca_cert_id
        assert intermediate == shared_ca().intermediate
        self._reach()
        if not self.fit_is_known:
            raise UnavailableError("the CA", "the test took it away")
        return list(self.unfit)

    def _go_on(self) -> None:
        for taken in self.orders:
            if not taken.chain and not taken.ended and taken.placed_at + self.slow <= self.clock.now():
                self.issue(taken)

    def issue(self, taken: TakenOrder) -> None:
        ca, ordered = shared_ca(), taken.request
        leaf = ca.certify(
            ordered.csr,
            ordered.dns_names,
            common_name=self.common_name or ordered.common_name,
            not_before=self.clock.now(),
            not_after=end_of(ordered.expires_on),
        )
        taken.chain = (leaf, ca.intermediate, ca.root)

    def _reach(self) -> None:
        if self.away:
            raise UnavailableError("the CA", "the test took it away")


@dataclass
class FakeRevocations:
    """Revokes at once, unless `wants_approval`."""

    revoked: list[tuple[CertificateId, RevocationReason]] = field(default_factory=list)
    calls: int = 0
    steps: Steps = field(default_factory=Steps)
    away: bool = False
    refuses: bool = False
    silent: bool = False
    wants_approval: bool = False

    async def revoke(self, certificate_id: CertificateId, reason: RevocationReason, notes: str) -> bool:
        assert notes is not None
        self.calls += 1
        self.steps.step("before revoking")
        self._reach()
        if self.refuses or any(known == certificate_id for known, _ in self.revoked):
            raise RevocationRefusedError(REFUSAL)
        if self.wants_approval:
            return False
        self.revoked.append((certificate_id, reason))
        self.steps.step("after revoking")
        if self.silent:
            raise UnavailableError("the CA", "no answer")
        return True

    async def is_revoked(self, order_id: OrderId, serial_number: str) -> bool:
        assert order_id, serial_number
        self._reach()
        return bool(self.revoked)

    def _reach(self) -> None:
        if self.away:
            raise UnavailableError("the CA", "the test took it away")
