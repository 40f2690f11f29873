"""Key pairs that the issuer makes: once for each order, after its approval, and never on the event loop.

A key is made in a process of its own and waits here, encrypted under its password, until the ledger has it: with the
CSR and the intent, in one write. What is lost before that was never ordered with, and is made anew.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from services.issuer.making.ports import KeyMaker, Made
from services.issuer.model import Held, Order
from services.issuer.passwords import Passwords
from shared.clock import Clock
from shared.evidence.steps import Issuance, Revision
from shared.messaging.schedule import milliseconds
from shared.sealing import kid_of_sealed
from shared.vocabulary.held import HeldKind
from shared.vocabulary.names import Digest, RequestId
from shared.x509.certificate import is_self_issued

log = structlog.get_logger()

PATIENCE_SECONDS = 0.2
"""How long a step waits for a key; what takes longer goes on in the background, and makes room for other orders."""


@dataclass
class Generating:
    """Makes key pairs for orders, and packs them with their certificates."""

    maker: KeyMaker
    packer: KeyMaker
    """In a process of its own: what is certified does not wait for all that is still to be made."""
    passwords: Passwords
    clock: Clock
    offer: Callable[[Order], None] = lambda _: None
    """Told of an order that waited for its key, which is there now; without it, the order is looked at again later."""
    _making: dict[tuple[RequestId, Digest | None], asyncio.Task[Made]] = field(default_factory=dict)
    """By request and verdict: a key that was made for one approval serves no other."""

    async def made(self, order: Order, revision: Revision) -> Made | None:
        """The key pair for this order, to be stored by the caller; none yet if it takes its time.

        Raises:
            RefusedError: `password.*`, the password can't be opened any more; `csr.unfit`.
            UnavailableError: no key can be made now.
        """
        task = self._making.get((order.id, order.verdict))
        if task is None:
            self.forget(order.id)
            task = asyncio.create_task(self._make(revision), name=f"key pair for {order.id}")
            self._making[order.id, order.verdict] = task
        await asyncio.wait({task}, timeout=PATIENCE_SECONDS)
        if not task.done():
            return None
        self._making.pop((order.id, order.verdict), None)
        return task.result()

    def forget(self, request_id: RequestId) -> None:
        """Let go of whatever is made, or being made, for a request that comes to nothing or is decided anew."""
        for made_for in [known for known in self._making if known[0] == request_id]:
            self._making.pop(made_for).cancel()

    def waits(self, order: Order) -> None:
        """This order, as it is stored now, goes on as soon as its key is there."""
        task = self._making.get((order.id, order.verdict))
        if task is not None:
            task.add_done_callback(lambda _: self.offer(order))

    async def aclose(self) -> None:
        """Give up what is still being made."""
        tasks = tuple(self._making.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _make(self, revision: Revision) -> Made:
        password = await asyncio.to_thread(self.passwords.read, revision)  # it was judged before people decided
        return await self.maker.make(
            password, revision.wanted_key_type or "", revision.subject, revision.names, revision.extensions
        )

    def with_key(self, order: Order, revision: Revision, made: Made) -> Order:
        """The entry with its key pair."""
        return self._holding(order, revision, HeldKind.PKCS8, made.pkcs8).model_copy(update={"csr": made.csr})

    async def packed(self, order: Order, revision: Revision, issuance: Issuance) -> Order:
        """The entry with the PKCS#12 in place of the key.

        Raises:
            RefusedError: `password.*`, `key.*` or `pkcs12.*`.
            UnavailableError: it can't be packed now.
        """
        if order.held is None or revision.generated is None:
            raise ValueError("there is nothing to be packed")
        password = await asyncio.to_thread(self.passwords.read, revision)
        leaf, *issuers = issuance.chain
        content = await self.packer.pack(
            order.held.content,
            password,
            leaf,
            [der for der in issuers if not is_self_issued(der)],
            friendly_name=revision.name,
            encryption=revision.generated.pkcs12,
        )
        return self._holding(order, revision, HeldKind.PKCS12, content)

    def _holding(self, order: Order, revision: Revision, kind: HeldKind, content: bytes) -> Order:
        if revision.generated is None:
            raise ValueError("of a request with a CSR nothing is held")
        now_ms = milliseconds(self.clock.now().timestamp())
        rules = revision.policy.generated
        hours = rules.erase_after_hours if rules is not None and kind is HeldKind.PKCS12 else None
        held = Held(
            kind=kind,
            content=content,
            opening_key=kid_of_sealed(revision.generated.sealed_password),
            since_ms=now_ms,
            erase_ms=None if hours is None else now_ms + hours * 3_600_000,
            once=rules is None or rules.erase_after_download,
        )
        return order.model_copy(update={"held": held, "held_for": order.approval_group})
