"""Erasing what is held of a private key: in one write with the reason for it, and signed for."""

from dataclasses import dataclass

from services.issuer.model import Order
from shared.clock import Clock
from shared.contracts import events
from shared.evidence.in_force import PolicyInForce
from shared.evidence.jws import SigningKey, Typ
from shared.evidence.steps import Erasure
from shared.messaging.messages import Outgoing, publish_news
from shared.vocabulary.held import ErasedBecause
from shared.vocabulary.model import digest_of
from shared.vocabulary.names import IdentityName


@dataclass(frozen=True)
class Erasing:
    """Takes out of an entry what it holds."""

    in_force: PolicyInForce
    key: SigningKey
    clock: Clock

    def of(
        self, order: Order, why: ErasedBecause, *, by: IdentityName | None = None
    ) -> tuple[Order, tuple[Outgoing, ...]]:
        """The entry that holds nothing any more, to be stored, and the news of it; the same where nothing was held."""
        if order.held is None:
            return order, ()
        now = self.clock.now()
        erasure = Erasure(request_id=order.id, what=order.held.kind, why=why, by=by, csr=digest_of(order.csr or b""))
        token = self.key.sign(erasure.canonical(), Typ.ERASURE, now)
        told = publish_news(
            events.KeyErased(request_id=order.id, erasure=token),
            about=order.id,
            origin=f"{order.id}/{erasure.csr}/erased",
            policy_serial=self.in_force.policy.serial,
            at=now,
        )
        return order.model_copy(update={"held": None, "held_for": None}), (told,)
