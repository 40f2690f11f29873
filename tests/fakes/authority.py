"""A CA in memory: it takes orders, issues, lags, refuses, falls silent and is away, as it is told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from services.issuer.ports import (
    ID_TAKEN,
    KnownOrder,
    NotNowError,
    OrderChange,
    OrderRefusedError,
    OrderRequest,
    OrderUncertainError,
    PlacedOrder,
    Sought,
)
from services.revoker.ports import NotNowError as RevokerNotNowError
from services.revoker.ports import RevocationRefusedError, Standing
from shared.errors import UnavailableError
from shared.policy.compatibility import Combination, ProductFacts
from shared.vocabulary.findings import Finding, finding
from shared.vocabulary.names import CertificateId, OrderId
from shared.vocabulary.reasons import RevocationReason
from tests.fakes.faults import Steps
from tests.world import FixedClock, end_of, product_facts, shared_ca

REFUSAL = finding("ca.refused", "the CA said: no")
SILENCE = finding("ca.timeout", "the CA gave no answer")
AWAY = finding("ca.unreachable", "the test took it away")
NOT_THERE = finding("ca.not-found", "the CA does not have it")
MAY_NOT = finding("ca.approver-refused", "the API key may not approve this")


@dataclass
class TakenOrder:
    """An order as the CA keeps it."""

    request: OrderRequest
    order_id: OrderId
    placed_at: datetime
    chain: tuple[bytes, ...] = ()
    ended: tuple[Finding, ...] = ()
    changed_at: datetime | None = None
    approval: int | None = None
    """The CA's own request that waits for somebody to approve it."""
    unnamed: bool = False
    """Whether the CA does not say which request that is."""

    @property
    def certificate_id(self) -> CertificateId:
        return CertificateId(self.order_id + 1000)

    @property
    def status(self) -> str:
        if self.ended:
            return "rejected"
        return "issued" if self.chain else "pending" if self.approval is None else "needs_approval"

    def shown(self) -> PlacedOrder:
        certificate_id = self.certificate_id if self.chain else None
        approvals = () if self.approval is None else (self.approval,)
        return PlacedOrder(
            self.order_id,
            certificate_id,
            self.chain,
            self.ended,
            status=self.status,
            approvals=() if self.unnamed else approvals,
            needs_approval=self.status == "needs_approval",
        )


@dataclass
class FakeCa:
    """Orders are issued `slow` after they were placed; `lag` is how long its look-up misses a new order."""

    clock: FixedClock
    orders: list[TakenOrder] = field(default_factory=list)
    steps: Steps = field(default_factory=Steps)
    look_ups: int = 0
    looks: int = 0
    slow: timedelta = timedelta(0)
    away: bool = False
    refuses: bool = False
    mends: Finding | None = None
    """Why it does not take orders until an operator has mended it."""
    silent: bool = False
    """It takes the order and the answer is lost."""
    deaf: bool = False
    """The order is lost, and nobody can tell."""
    forgets_ids: bool = False
    """It does not keep the alternative ids."""
    id_taken: bool = False
    """It says that it has an order under this id already."""
    wants_approval: bool = False
    may_approve: bool = True
    lag: timedelta = timedelta(0)
    takes: timedelta = timedelta(0)
    """How long placing an order lasts."""
    says: Mapping[str, object] = field(default_factory=dict)
    """What it says of the product instead of the usual."""
    fit_is_known: bool = True
    common_name: str | None = None
    """What it puts into certificates instead of what was ordered."""

    async def ready(self) -> None:
        """Its rate limit is never used up."""

    async def place(self, order: OrderRequest) -> PlacedOrder:
        self.steps.step("before ordering")
        self._reach()
        self.clock.advance(self.takes)
        if self.refuses:
            raise OrderRefusedError(REFUSAL)
        if self.mends is not None:
            raise NotNowError([self.mends], passes=False)
        if self.id_taken:
            raise OrderUncertainError(finding(ID_TAKEN, "the CA says that it has one"))
        if self.deaf:
            raise OrderUncertainError(SILENCE)
        taken = TakenOrder(order, OrderId(len(self.orders) + 1), self.clock.now())
        taken.approval = 70 + taken.order_id if self.wants_approval else None
        self.orders.append(taken)
        self._go_on()
        self.steps.step("after ordering")
        if self.silent:
            raise OrderUncertainError(SILENCE)
        return taken.shown()

    async def look_up(self, alternative_order_id: str) -> Sequence[KnownOrder]:
        self._reach()
        self.look_ups += 1
        self._go_on()
        return [
            KnownOrder(taken.order_id, ended=bool(taken.ended))
            for taken in self._visible()
            if not self.forgets_ids and taken.request.alternative_order_id == alternative_order_id
        ]

    async def look_alikes(self, sought: Sought) -> Sequence[KnownOrder]:
        self._reach()
        return [
            KnownOrder(taken.order_id, ended=bool(taken.ended), ours=not self.forgets_ids)
            for taken in self._visible()
            if self._resembles(taken, sought)
        ]

    async def resembles(self, order_id: OrderId, sought: Sought) -> bool:
        self._reach()
        return any(taken.order_id == order_id and self._resembles(taken, sought) for taken in self.orders)

    async def is_live(self, order_id: OrderId) -> bool:
        self._reach()
        return any(taken.order_id == order_id and not taken.ended for taken in self._visible())

    async def follow(self, order_id: OrderId) -> PlacedOrder:
        self._reach()
        self.looks += 1
        self._go_on()
        for taken in self.orders:
            if taken.order_id == order_id:
                return taken.shown()
        raise NotNowError([NOT_THERE], passes=False)

    async def approve(self, approval: int) -> None:
        self._reach()
        if not self.may_approve:
            raise NotNowError([MAY_NOT], passes=False)
        for taken in self.orders:
            if taken.approval == approval:
                taken.approval = None

    async def changes(self, since: datetime, now: datetime) -> Sequence[OrderChange]:
        self._reach()
        self._go_on()
        changed = [taken for taken in self.orders if taken.changed_at and since <= taken.changed_at <= now]
        return [OrderChange(taken.order_id, taken.status) for taken in changed]

    async def product_facts(
        self, combination: Combination, imported: bytes, intermediate: bytes, *, at: datetime
    ) -> ProductFacts:
        assert imported
        assert intermediate == shared_ca().intermediate
        self._reach()
        if not self.fit_is_known:
            raise NotNowError([AWAY])
        self.steps.step("asked")
        return product_facts(combination, at=at).model_copy(update=self.says)

    def end(self, taken: TakenOrder, *reasons: Finding) -> None:
        taken.ended, taken.changed_at = reasons, self.clock.now()

    def _visible(self) -> list[TakenOrder]:
        return [taken for taken in self.orders if taken.placed_at + self.lag <= self.clock.now()]

    def _resembles(self, taken: TakenOrder, sought: Sought) -> bool:
        if self.forgets_ids:
            return taken.request.csr == sought.csr and taken.request.common_name == sought.common_name
        return taken.request.alternative_order_id == sought.alternative_order_id

    def _go_on(self) -> None:
        for taken in self.orders:
            due = taken.placed_at + self.slow
            if not taken.chain and not taken.ended and taken.approval is None and due <= self.clock.now():
                self.issue(taken)
                taken.changed_at = due

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
            raise NotNowError([AWAY])


@dataclass
class FakeRevocations:
    """Revokes at once, unless `wants_approval` or a `reissue` is pending."""

    revoked: list[tuple[CertificateId, RevocationReason]] = field(default_factory=list)
    calls: int = 0
    notes: list[str] = field(default_factory=list)
    steps: Steps = field(default_factory=Steps)
    away: bool = False
    busy: bool = False
    refuses: bool = False
    forbids: bool = False
    """Our key has lost its right."""
    silent: bool = False
    wants_approval: bool = False
    approves: bool = True
    reissue: bool = False
    requests: dict[int, tuple[CertificateId, RevocationReason, str]] = field(default_factory=dict)
    """Those that wait for approval, with their notes."""
    rejected: set[int] = field(default_factory=set)

    async def revoke(self, certificate_id: CertificateId, reason: RevocationReason, notes: str) -> int | None:
        self.calls += 1
        self.notes.append(notes)
        self.steps.step("before revoking")
        self._reach()
        if self.forbids:
            raise RevocationRefusedError(REFUSAL, passes=True)
        if self.refuses or self.reissue or any(known == certificate_id for known, _ in self.revoked):
            raise RevocationRefusedError(REFUSAL)
        request = None
        if self.wants_approval:
            request = len(self.requests) + 1
            self.requests[request] = certificate_id, reason, notes
        else:
            self.revoked.append((certificate_id, reason))
        self.steps.step("after revoking")
        if self.silent:
            raise UnavailableError("the CA", "no answer")
        return request

    async def approve(self, request: int, notes: str) -> None:
        assert notes is not None
        self.steps.step("before approving")
        self._reach()
        if not self.approves or request not in self.requests:
            raise RevocationRefusedError(REFUSAL)
        self.revoked.append(self.requests.pop(request)[:2])
        self.steps.step("after approving")

    async def standing(
        self, order_id: OrderId, certificate_id: CertificateId, serial_number: str, mark: str
    ) -> Standing:
        assert order_id, serial_number
        self._reach()
        waiting = [number for number, (*_, notes) in self.requests.items() if mark in notes]
        return Standing(
            is_revoked=any(known == certificate_id for known, _ in self.revoked),
            is_reissued=self.reissue,
            open_request=waiting[0] if waiting else None,
            rejected=frozenset(self.rejected),
        )

    def _reach(self) -> None:
        if self.busy:
            raise RevokerNotNowError("the rate limit is used up", wait=7.0)
        if self.away:
            raise UnavailableError("the CA", "the test took it away")
