"""What follows when a revocation is accepted: stored with it, and published after it."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.revoker import rules
from services.revoker.model import Certificate
from shared.clock import Clock
from shared.contracts import events
from shared.evidence.in_force import PolicyInForce
from shared.evidence.jws import SigningKey, Typ
from shared.messaging.messages import Outgoing, publish_event, publish_news
from shared.vocabulary.reasons import RevocationReason


@dataclass(frozen=True)
class Accepting:
    """Says that a revocation was asked for and, after a key compromise, that the key is blocked."""

    in_force: PolicyInForce
    key: SigningKey
    clock: Clock

    def told(self, certificate: Certificate, *, origin: str) -> Sequence[Outgoing]:
        """What `origin` leads to by having this certificate revoked."""
        asked, policy, now = certificate.asked, self.in_force.policy, self.clock.now()
        event = events.RevocationAsked(
            request_id=certificate.id,
            approval_group=certificate.approval_group,
            reason=asked.reason,
            by=asked.by,
            deadline=asked.deadline,
            awaits=asked.needed,
        )
        serial = policy.serial
        told = publish_event(
            event, origin=origin, sequence=certificate.sequence, policy_serial=serial, at=now, role="asked"
        )
        if asked.reason is not RevocationReason.KEY_COMPROMISE or not certificate.spki:
            return (told,)
        block = rules.key_block_of(certificate, policy_digest=policy.digest)
        news = events.KeyBlocked(
            approval_group=certificate.approval_group, block=self.key.sign(block.canonical(), Typ.KEY_BLOCK, now)
        )
        about = certificate.approval_group
        return (publish_news(news, about=about, origin=origin, policy_serial=serial, at=now), told)
