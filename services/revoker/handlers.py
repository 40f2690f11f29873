"""The revoker's handlers: one frozen dataclass for each message."""

from collections.abc import Callable
from dataclasses import dataclass

from services.revoker import rules
from services.revoker.model import Certificate, CertificateState
from services.revoker.ports import CertificateStore
from shared.clock import Clock
from shared.contracts import commands, events
from shared.contracts.replies import RevokeResult
from shared.errors import RefusedError
from shared.evidence.in_force import PolicyInForce
from shared.messaging.messages import NOTHING, Outcome, Outgoing, Received, reply_ok
from shared.messaging.schedule import milliseconds
from shared.observability.metrics import EvidenceMetrics
from shared.vocabulary.states import State


@dataclass(frozen=True)
class CertificateIssuedHandler:
    """Notes a certificate that may one day have to be revoked."""

    certificates: CertificateStore
    in_force: PolicyInForce
    metrics: EvidenceMetrics
    clock: Clock

    async def __call__(self, message: Received[events.CertificateIssued | events.CertificateQuarantined]) -> Outcome:
        """Handle the event."""
        try:
            certificate = rules.certificate_of(
                message.data, self.in_force.anchor, sequence=message.order, now=self.clock.now()
            )
        except RefusedError as refused:
            for found in refused.findings:
                self.metrics.refused(found.code)
            raise
        await self.certificates.insert(certificate)
        return NOTHING


@dataclass(frozen=True)
class RevokeCertificateHandler:
    """Accepts a revocation; the scheduler carries it out."""

    certificates: CertificateStore
    in_force: PolicyInForce
    clock: Clock
    offer: Callable[[Certificate], None]

    async def __call__(self, message: Received[commands.RevokeCertificate]) -> Outcome:
        """Handle the command."""
        known = await self.certificates.load(message.data.request_id)
        stored = known and known.outcome_of(message.id)
        if stored:
            return stored
        now = self.clock.now()
        changed = rules.revoke(
            known,
            message.data,
            sender=message.sender,
            policy=self.in_force.policy,
            now=now,
            due=milliseconds(now.timestamp()),
        )
        answer = self._answer(message, changed)
        if changed is not known:
            self.offer(await self.certificates.replace(changed.followed_by(message.id, answer)))
        return Outcome(publish=(answer,))

    def _answer(self, message: Received[commands.RevokeCertificate], certificate: Certificate) -> Outgoing:
        done = certificate.state is CertificateState.REVOKED
        meanwhile = State.QUARANTINED if certificate.quarantined else State.ISSUED
        result = RevokeResult(
            request_id=certificate.id,
            state=State.REVOKED if done else meanwhile,
            reason=certificate.reason or message.data.reason,
            certificate=certificate.digest,
        )
        text = "The certificate is revoked." if done else "The revocation is accepted and under way."
        return reply_ok(message, result, text, at=self.clock.now())
