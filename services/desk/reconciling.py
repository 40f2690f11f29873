"""Reconciling: ask the CA and intake, and compare. Nothing is changed anywhere: it has only what reads."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from services.desk.exits import usage
from services.desk.published import Fact, fact_of
from services.desk.reconciliation import Discrepancy, Patience, moment_of, reconcile, to_look_at, unproven
from shared.client.client import RaClient
from shared.clock import Clock
from shared.contracts.replies import Publication, PublicationsResult
from shared.digicert.models import OrderInfo
from shared.digicert.reader import DigiCertReader
from shared.errors import RefusedError
from shared.evidence.anchor import Anchor
from shared.vocabulary.findings import Severity
from shared.vocabulary.model import Model
from shared.vocabulary.names import ApprovalGroupField, OrderId

DAY = timedelta(days=1)


class Reconciliation(Model):
    """What a reconciliation looked at, and what it found."""

    at: datetime
    since: datetime | None
    groups: tuple[ApprovalGroupField, ...]
    """Whose requests were looked at."""
    complete: bool
    """Whether intake showed every request; if not, orphans can't be told."""
    requests: int
    orders: int
    discrepancies: tuple[Discrepancy, ...]

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong; what is only under way counts as nothing."""
        return all(each.finding.severity is Severity.NOTE for each in self.discrepancies)


@dataclass(frozen=True)
class Scope:
    """What is to be looked at."""

    since: datetime | None = None
    """Older orders are left out, and requests that had one by then."""
    groups: Collection[str] = ()
    """These only; all that may be audited if there are none."""
    known: frozenset[OrderId] = frozenset()
    grace: timedelta = timedelta(hours=1)
    quick: bool = False


@dataclass(frozen=True)
class Reconciling:
    """Compares what the CA has with what was published, as far as `anchor` proves that."""

    client: RaClient
    ca: DigiCertReader
    anchor: Anchor
    clock: Clock
    scope: Scope = field(default_factory=Scope)

    async def __call__(self) -> Reconciliation:
        """Look once.

        The CA is asked first: so every order that it shows belongs to a request that intake knows by then.

        Raises:
            CaRefusedError, CaUnavailableError: the CA.
            ClientError: intake, or the broker.
            DeskError: a group of the scope may not be audited.
        """
        listed = await self._listed()
        shown = await self._published()
        now = self.clock.now()
        facts, findings = self._proven(shown.publications, now)
        known, quick = self.scope.known, self.scope.quick
        wanted = to_look_at(facts, listed, known=known, now=now, quick=quick)
        orders = listed | await self._looked_at(wanted)
        patience = Patience(self.clock.now(), self.scope.grace)
        findings += reconcile(facts, orders, known=known, patience=patience, complete=shown.complete)
        groups = tuple(self.scope.groups) or shown.groups
        return Reconciliation(
            at=now,
            since=self.scope.since,
            groups=groups,
            complete=shown.complete,
            requests=len(shown.publications),
            orders=len(orders),
            discrepancies=tuple(self._within(findings)),
        )

    async def _listed(self) -> dict[OrderId, OrderInfo]:
        """The CA's orders by their list; what the filter is worth is looked at again here."""
        since = self.scope.since
        filters = None if since is None else {"date_created": f">{since.date() - DAY}"}
        return {order.order_id: order async for order in self.ca.all_orders(filters=filters) if self._counts(order)}

    def _counts(self, order: OrderInfo) -> bool:
        created = moment_of(order.date_created)
        return self.scope.since is None or created is None or created >= self.scope.since

    async def _published(self) -> PublicationsResult:
        """All pages in one."""
        page = await self.client.list_publications()
        pages = [page]
        while page.more and page.publications:
            page = await self.client.list_publications(after=page.publications[-1].request_id)
            pages.append(page)
        missing = sorted(set(self.scope.groups) - set(page.groups))
        if missing:
            raise usage(f"--group {missing[0]}: you may not audit it; you may audit {', '.join(page.groups)}")
        found = tuple(publication for each in pages for publication in each.publications if self._matters(publication))
        complete = all(each.complete for each in pages)
        return page.model_copy(update={"publications": found, "complete": complete})

    def _matters(self, publication: Publication) -> bool:
        """Whether its order may be among those looked at: it was not published before."""
        is_published = publication.order_id is not None or publication.issuance is not None
        return self.scope.since is None or not is_published or publication.changed_at >= self.scope.since

    def _proven(self, publications: Iterable[Publication], now: datetime) -> tuple[list[Fact], list[Discrepancy]]:
        facts: list[Fact] = []
        findings: list[Discrepancy] = []
        for publication in publications:
            try:
                facts.append(fact_of(publication, self.anchor, now=now))
            except RefusedError as refused:
                findings.append(unproven(publication.request_id, publication.approval_group, refused))
        return facts, findings

    async def _looked_at(self, wanted: Iterable[OrderId]) -> dict[OrderId, OrderInfo]:
        found = {order_id: await self.ca.order_if_there(order_id) for order_id in wanted}
        return {order_id: order for order_id, order in found.items() if order is not None}

    def _within(self, findings: Iterable[Discrepancy]) -> Iterable[Discrepancy]:
        groups = self.scope.groups
        return (found for found in findings if not groups or found.approval_group in groups)
