"""Revoking: one step of one certificate at a time, each stored before the next."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog

from services.revoker import rules
from services.revoker.model import Certificate, CertificateState
from services.revoker.ports import CertificateStore, RevocationRefusedError, RevokingAuthority
from shared.clock import Clock
from shared.contracts import events
from shared.evidence.in_force import PolicyInForce
from shared.evidence.jws import SigningKey, Typ
from shared.messaging.messages import Outgoing, publish_event
from shared.messaging.schedule import milliseconds
from shared.vocabulary.findings import Finding

log = structlog.get_logger()


@dataclass(frozen=True)
class Revoking:
    """Brings an accepted revocation one step further."""

    certificates: CertificateStore
    ca: RevokingAuthority
    publish: Callable[[Outgoing], Awaitable[None]]
    in_force: PolicyInForce
    key: SigningKey
    clock: Clock
    lease: timedelta
    poll: timedelta

    async def advance(self, certificate: Certificate) -> None:
        """Do what this certificate's state asks for.

        Raises:
            ConflictError: another copy was faster.
            UnavailableError: the database, the broker or the CA is away.
        """
        if certificate.unpublished:
            await self._announce(certificate)
        elif certificate.state is CertificateState.REVOKING:
            await self._revoke(certificate)
        else:
            await self.certificates.replace(certificate.model_copy(update={"due": None}))

    async def _revoke(self, certificate: Certificate) -> None:
        """The intent was stored when the revocation was accepted; calling twice is safe."""
        claimed = await self._due_in(certificate, self.lease)
        if claimed.reason is None:
            raise ValueError("an accepted revocation has a reason")
        try:
            done = await self.ca.revoke(claimed.certificate_id, claimed.reason, claimed.notes)
        except RevocationRefusedError as refused:
            if not await self.ca.is_revoked(claimed.order_id, claimed.serial_number):
                await self._give_up(claimed, refused.findings)
                return
            done = True
        if done:
            await self._note_revoked(claimed)
        else:
            await self._due_in(claimed, self.poll)

    async def _note_revoked(self, certificate: Certificate) -> None:
        now = self.clock.now()
        revocation = rules.revocation_of(certificate, policy_digest=self.in_force.policy.digest, now=now)
        event = events.CertificateRevoked(
            request_id=certificate.id,
            approval_group=certificate.approval_group,
            revocation=self.key.sign(revocation.canonical(), Typ.REVOCATION, now),
            reason=revocation.reason,
            revoked_at=now,
        )
        await self._store_and_announce(certificate, CertificateState.REVOKED, event)

    async def _give_up(self, certificate: Certificate, findings: tuple[Finding, ...]) -> None:
        log.error("the CA refused to revoke", request=certificate.id, findings=[found.message for found in findings])
        if certificate.reason is None:
            raise ValueError("an accepted revocation has a reason")
        event = events.RevocationFailed(
            request_id=certificate.id,
            approval_group=certificate.approval_group,
            reason=certificate.reason,
            findings=findings,
        )
        await self._store_and_announce(certificate, CertificateState.LIVE, event)

    async def _store_and_announce(
        self, certificate: Certificate, state: CertificateState, event: events.LifecycleEvent
    ) -> None:
        """Store the new state with the event that follows from it, then publish the event."""
        sequence = certificate.sequence + 1
        outgoing = publish_event(
            event,
            origin=f"{certificate.id}/{certificate.issuance}/{sequence}",
            sequence=sequence,
            policy_serial=self.in_force.policy.serial,
            at=self.clock.now(),
        )
        stored = await self.certificates.replace(
            certificate.model_copy(
                update={
                    "state": state,
                    "sequence": sequence,
                    "unpublished": (outgoing,),
                    "due": milliseconds(self.clock.now().timestamp()),
                }
            )
        )
        await self._announce(stored)

    async def _announce(self, certificate: Certificate) -> None:
        """Publish what is not known to be published, then note that it is."""
        for outgoing in certificate.unpublished:
            await self.publish(outgoing)
        due = certificate.due if certificate.state is CertificateState.REVOKING else None  # asked for again meanwhile
        await self.certificates.replace(certificate.model_copy(update={"unpublished": (), "due": due}))

    async def _due_in(self, certificate: Certificate, wait: timedelta) -> Certificate:
        due = milliseconds((self.clock.now() + wait).timestamp())
        return await self.certificates.replace(certificate.model_copy(update={"due": due}))
