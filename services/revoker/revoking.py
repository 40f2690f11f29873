"""Revoking: one step of one certificate at a time, each stored before the next."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from services.revoker import rules
from services.revoker.model import Certificate
from services.revoker.ports import CertificateStore, NotNowError, RevocationRefusedError, RevokingAuthority, Standing
from shared.clock import Clock
from shared.contracts import events
from shared.evidence.in_force import PolicyInForce
from shared.evidence.jws import SigningKey, Typ
from shared.messaging.messages import Outgoing, publish_event
from shared.messaging.schedule import milliseconds
from shared.vocabulary.findings import Finding, finding
from shared.vocabulary.revocations import CertificateState

log = structlog.get_logger()

MOST_POLLS = 20
"""What waits at the CA is looked at ever less often, at last every so many polls."""


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
        claimed = await self._claim(certificate)
        try:
            await self._ask(claimed)
        except NotNowError as busy:
            log.info("the CA is busy", request=claimed.id, wait=busy.wait)
            await self._keep(claimed, timedelta(seconds=busy.wait), tries=certificate.asked.tries)  # nothing was done

    async def _ask(self, certificate: Certificate) -> None:
        """Have the CA revoke it; after a try whose end is not known, see first what became of that."""
        asked = certificate.asked
        standing = await self._standing(certificate) if asked.tries > 1 else Standing()
        if standing.is_revoked and asked.replaces is None:
            await self._note_revoked(certificate)
            return
        request = asked.ca_request or standing.open_request
        if request is None:
            try:
                request = await self.ca.revoke(certificate.certificate_id, asked.reason, _notes(certificate))
            except RevocationRefusedError as refused:
                await self._heed_refusal(certificate, refused)
                return
        if request is None:
            await self._note_revoked(certificate)
        elif request in standing.rejected:
            await self._give_up(certificate, _rejected(request))
        else:
            await self._approve(certificate, request)

    async def _approve(self, certificate: Certificate, request: int) -> None:
        """The CA has made a request of it that somebody has to approve: we do, or else wait for others."""
        if certificate.asked.ca_request is None:
            certificate = await self._keep(certificate, self.lease, ca_request=request)
        why: tuple[Finding, ...] = ()
        try:
            await self.ca.approve(request, _notes(certificate))
        except RevocationRefusedError as refused:
            why = refused.findings
        standing = await self._standing(certificate)
        if standing.is_revoked:
            await self._note_revoked(certificate)
        elif request in standing.rejected:
            await self._give_up(certificate, _rejected(request))
        else:
            text = "the revocation waits until it is approved at the CA: approve it there"
            waits = finding("revocation.approval-there", text, value=request)
            await self._wait(certificate, (waits, *why, *standing.unseen))

    async def _heed_refusal(self, certificate: Certificate, refused: RevocationRefusedError) -> None:
        """The CA said no: it is revoked already, or asked for; or that passes, or can't be judged; or for good."""
        asked, standing = certificate.asked, await self._standing(certificate)
        if standing.is_revoked:
            if asked.replaces is not None:
                log.warning("the CA keeps an earlier reason", request=certificate.id, reason=asked.replaces)
            await self._note_revoked(certificate, elsewhere=asked.tries == 1 and asked.replaces is None)
        elif standing.open_request is not None:
            await self._approve(certificate, standing.open_request)
        elif standing.is_reissued:
            text = "a reissue of this certificate is pending at the CA: until that is issued or cancelled, it waits"
            await self._wait(certificate, (finding("revocation.reissue-pending", text),))
        elif refused.passes:
            text = "the CA does not let us revoke: see to the right of its API key, or revoke it there"
            await self._wait(certificate, (finding("revocation.no-right-there", text), *refused.findings))
        elif standing.unseen:
            await self._wait(certificate, (*standing.unseen, *refused.findings))
        else:
            await self._give_up(certificate, refused.findings)

    async def _wait(self, certificate: Certificate, findings: Sequence[Finding]) -> None:
        asked = certificate.asked
        log.warning("a revocation waits at the CA", request=certificate.id, findings=[each.code for each in findings])
        wait = min(MOST_POLLS * self.poll, self.poll * (1 << min(asked.waits, 30)))
        await self._keep(certificate, wait, waits=asked.waits + 1, findings=tuple(findings))

    async def _note_revoked(self, certificate: Certificate, *, elsewhere: bool = False) -> None:
        now = self.clock.now()
        revocation = rules.revocation_of(
            certificate, policy_digest=self.in_force.policy.digest, now=now, elsewhere=elsewhere
        )
        if elsewhere:
            log.warning("it was revoked elsewhere before", request=certificate.id)
        event = events.CertificateRevoked(
            request_id=certificate.id,
            approval_group=certificate.approval_group,
            revocation=self.key.sign(revocation.canonical(), Typ.REVOCATION, now),
            reason=revocation.reason,
            revoked_at=now,
        )
        revoked = certificate.model_copy(
            update={
                "state": CertificateState.REVOKED,
                "revoked_for": revocation.reason,
                "revocation": certificate.asked.model_copy(update={"ended_at": now}),
                "deadline_ms": None,
            }
        )
        await self._store_and_announce(revoked, event)

    async def _give_up(self, certificate: Certificate, findings: tuple[Finding, ...]) -> None:
        log.error("the CA refused to revoke", request=certificate.id, findings=[found.message for found in findings])
        event = events.RevocationFailed(
            request_id=certificate.id,
            approval_group=certificate.approval_group,
            reason=certificate.asked.reason,
            findings=findings,
        )
        await self._store_and_announce(rules.refused(certificate, findings, now=self.clock.now()), event)

    async def _store_and_announce(self, certificate: Certificate, event: events.LifecycleEvent) -> None:
        """Store the new state with the event that follows from it, then publish the event."""
        sequence, now = certificate.sequence + 1, self.clock.now()
        outgoing = publish_event(
            event,
            origin=f"{certificate.id}/{certificate.issuance}/{sequence}",
            sequence=sequence,
            policy_serial=self.in_force.policy.serial,
            at=now,
        )
        stored = await self.certificates.replace(
            certificate.model_copy(
                update={
                    "sequence": sequence,
                    "unpublished": (outgoing,),
                    "due": milliseconds(now.timestamp()),
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

    async def _standing(self, certificate: Certificate) -> Standing:
        return await self.ca.standing(
            certificate.order_id, certificate.certificate_id, certificate.serial_number, certificate.asked.id
        )

    async def _claim(self, certificate: Certificate) -> Certificate:
        """Take it up: for one lease nobody else does."""
        return await self._keep(certificate, self.lease, tries=certificate.asked.tries + 1)

    async def _keep(self, certificate: Certificate, wait: timedelta, **update: object) -> Certificate:
        due = milliseconds((self.clock.now() + wait).timestamp())
        asked = certificate.asked.model_copy(update=update)
        return await self.certificates.replace(certificate.model_copy(update={"revocation": asked, "due": due}))


def _rejected(request: int) -> tuple[Finding, ...]:
    return (finding("revocation.rejected-there", "the revocation was rejected at the CA", value=request),)


def _notes(certificate: Certificate) -> str:
    """What travels to the CA: the notes, and the mark by which a request for this is known again."""
    asked = certificate.asked
    return f"{asked.notes} [{asked.id}]".strip()
