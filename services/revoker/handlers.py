"""The revoker's handlers: one frozen dataclass for each message."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from services.revoker import rules
from services.revoker.accepting import Accepting
from services.revoker.model import Certificate
from services.revoker.ports import CertificateStore
from shared.clock import Clock
from shared.contracts import commands, events
from shared.contracts.replies import OtherCertificate, RevokeResult
from shared.errors import RefusedError
from shared.evidence.in_force import PolicyInForce
from shared.messaging.messages import NOTHING, Outcome, Outgoing, Received, reply_ok
from shared.observability.metrics import EvidenceMetrics
from shared.vocabulary.reasons import RevocationReason
from shared.vocabulary.revocations import CertificateState
from shared.vocabulary.states import State

log = structlog.get_logger()


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
        if certificate.key in {
            each.key for each in await self.certificates.of_key(certificate.key) if is_blocked(each)
        }:
            log.error("certificate on a compromised key", request=certificate.id, serial=certificate.serial_number)
        return NOTHING


@dataclass(frozen=True)
class RevokeCertificateHandler:
    """Accepts a revocation; the scheduler carries it out.

    What follows is stored with it: that it was asked for and, after a key compromise, that the key is blocked.
    """

    certificates: CertificateStore
    accepting: Accepting
    offer: Callable[[Certificate], None]

    async def __call__(self, message: Received[commands.RevokeCertificate]) -> Outcome:
        """Handle the command."""
        found = await named(self.certificates, message.data)
        stored = [outcome for each in found if (outcome := each.outcome_of(message.id)) is not None]
        if stored:
            return stored[0]
        now, policy = self.accepting.clock.now(), self.accepting.in_force.policy
        known = rules.chosen(found, message.data, sender=message.sender, policy=policy, now=now)
        changed = rules.revoke(known, message.data, message=message.id, sender=message.sender, policy=policy, now=now)
        answer = await self._answer(message, changed)
        if changed is known:
            return Outcome(publish=(answer,))
        publish = (*self.accepting.told(changed, origin=message.id), answer)
        written = await self.certificates.replace(changed.followed_by(message.id, *publish))
        if written.state is CertificateState.REVOKING:
            self.offer(written)
        return Outcome(publish=publish)

    async def _answer(self, message: Received[commands.RevokeCertificate], certificate: Certificate) -> Outgoing:
        asked = certificate.asked
        result = RevokeResult(
            request_id=certificate.id,
            state=state_of(certificate),
            reason=asked.reason,
            certificate=certificate.digest,
            deadline=asked.deadline,
            awaits=asked.needed - len(asked.confirmations) if certificate.state is CertificateState.REQUESTED else 0,
            same_key=await self._same_key(message, certificate),
        )
        return reply_ok(message, result, _TEXTS[certificate.state], at=self.accepting.clock.now())

    async def _same_key(
        self, message: Received[commands.RevokeCertificate], certificate: Certificate
    ) -> tuple[OtherCertificate, ...]:
        """What else is good with the compromised key, as far as the sender may have it revoked too."""
        if certificate.asked.reason is not RevocationReason.KEY_COMPROMISE or not certificate.spki:
            return ()
        now, policy = self.accepting.clock.now(), self.accepting.in_force.policy
        return tuple(
            OtherCertificate(request_id=each.id, serial_number=each.serial_number, not_after=each.not_after)
            for each in await self.certificates.of_key(certificate.key)
            if each.id != certificate.id
            and each.not_after >= now
            and not is_blocked(each)
            and each.revoked_for is None
            and (message.data.proof is not None or rules.may_revoke(each, message.sender, policy))
        )


_TEXTS = {
    CertificateState.REQUESTED: "The revocation is accepted and waits to be confirmed.",
    CertificateState.REVOKING: "The revocation is accepted and under way.",
    CertificateState.REVOKED: "The certificate is revoked.",
}


async def named(certificates: CertificateStore, command: commands.NamedCertificate) -> Sequence[Certificate]:
    """The certificates that this name may mean."""
    if command.serial_number is not None:
        return await certificates.of_serial(command.serial_number)
    known = await certificates.load(command.named)
    return [] if known is None else [known]


def is_blocked(certificate: Certificate) -> bool:
    """Whether this certificate's key was reported as compromised by way of it."""
    return certificate.revocation is not None and certificate.revocation.reason is RevocationReason.KEY_COMPROMISE


def state_of(certificate: Certificate) -> State:
    """Where its request stands."""
    if certificate.revoked_for is not None:
        return State.REVOKED
    return State.QUARANTINED if certificate.quarantined else State.ISSUED
