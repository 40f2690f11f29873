"""Handing certificates out: each time is signed for, and a PKCS#12 may be there for one time only."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog

from services.issuer import rules
from services.issuer.erasing import Erasing
from services.issuer.model import Held, Order
from services.issuer.ports import OrderStore
from shared.clock import Clock
from shared.contracts import commands, events
from shared.contracts.replies import DownloadResult
from shared.errors import RefusedError
from shared.evidence.in_force import PolicyInForce
from shared.evidence.jws import SigningKey, Typ, payload_of
from shared.evidence.revocations import read_revocation
from shared.evidence.steps import Delivery
from shared.messaging.messages import NOTHING, Outcome, Outgoing, Received, publish_news, reply_ok
from shared.messaging.ports import NotTakenError, UnroutableError
from shared.messaging.schedule import milliseconds
from shared.vocabulary.findings import finding
from shared.vocabulary.formats import FILE_SUFFIXES, MEDIA_TYPES, DownloadFormat
from shared.vocabulary.held import ErasedBecause, HeldKind
from shared.vocabulary.model import digest_of
from shared.x509.delivery import render

log = structlog.get_logger()

ERASED_AFTER = timedelta(days=1)
"""When what is handed out for the one time is erased at the latest, although the broker never confirmed the answer."""


@dataclass(frozen=True)
class DownloadCertificateHandler:
    """Delivers an issued certificate; with its private key, if the issuer made that and still holds it."""

    orders: OrderStore
    publish: Callable[[Outgoing], Awaitable[None]]
    in_force: PolicyInForce
    key: SigningKey
    erasing: Erasing
    clock: Clock

    async def __call__(self, message: Received[commands.DownloadCertificate]) -> Outcome:
        """Handle the question."""
        order, form = rules.check_download(
            await self.orders.load(message.data.request_id),
            message.data.format,
            sender=message.sender,
            in_force=self.in_force,
        )
        stored = order.outcome_of(message.id)
        if stored is not None:
            return stored
        chain = rules.signed_chain(order, self.in_force.anchor, now=self.clock.now())
        delivered = self._delivered(message, order, form)
        if form is DownloadFormat.DER_PKCS12:
            return await self._private(message, order, _held(order, message), delivered)
        content = render(chain, form, with_chain=message.data.chain and form is not DownloadFormat.DER_X509)
        return Outcome(publish=(delivered, self._answer(message, form, content)))

    async def _private(
        self, message: Received[commands.DownloadCertificate], order: Order, held: Held, delivered: Outgoing
    ) -> Outcome:
        """The PKCS#12; where that is the only time, it is erased once the broker has the answer.

        The answer is never written down with the order: until the broker has it, a redelivery makes it anew, and
        whoever began to take it gets it when they ask again.
        """
        answer = self._answer(message, DownloadFormat.DER_PKCS12, held.content)
        if not held.once:
            return Outcome(publish=(delivered, answer))
        if held.taken_by is None:
            latest = milliseconds((self.clock.now() + ERASED_AFTER).timestamp())
            latest = latest if held.erase_ms is None else min(latest, held.erase_ms)
            taken = held.model_copy(update={"taken_by": message.sender, "erase_ms": latest})
            order = await self.orders.replace(order.model_copy(update={"held": taken, "due": latest}))
        try:
            await self.publish(answer)
        except (UnroutableError, NotTakenError) as error:
            log.error("not handed out, and still held", request=order.id, reason=str(error))  # noqa: TRY400 - the trace says no more
            return NOTHING
        erased, told = self.erasing.of(order, ErasedBecause.DOWNLOADED, by=message.sender)
        follows = (delivered, *told)
        await self.orders.replace(erased.model_copy(update={"due": None}).followed_by(message.id, *follows))
        return Outcome(publish=follows)

    def _answer(
        self, message: Received[commands.DownloadCertificate], form: DownloadFormat, content: bytes
    ) -> Outgoing:
        result = DownloadResult(
            request_id=message.data.request_id,
            format=form,
            media_type=MEDIA_TYPES[form],
            file_name=f"{message.data.request_id}{FILE_SUFFIXES[form]}",
            content=content,
        )
        return reply_ok(message, result, "The certificate.", at=self.clock.now())

    def _delivered(
        self, message: Received[commands.DownloadCertificate], order: Order, form: DownloadFormat
    ) -> Outgoing:
        now = self.clock.now()
        issuance = digest_of(payload_of(order.issuance or ""))
        said = Delivery(request_id=order.id, issuance=issuance, format=form, by=message.sender)
        token = self.key.sign(said.canonical(), Typ.DELIVERY, now)
        return publish_news(
            events.CertificateDelivered(request_id=order.id, delivery=token),
            about=order.id,
            origin=message.id,
            policy_serial=self.in_force.policy.serial,
            at=now,
        )


def _held(order: Order, message: Received[commands.DownloadCertificate]) -> Held:
    """The PKCS#12, if this message may have it.

    Raises:
        RefusedError: `download.format-not-available` or `download.erased`.
    """
    if order.csr is None:
        text = "der-pkcs12 is there only for requests whose key was generated"
        raise RefusedError(finding("download.format-not-available", text, value=DownloadFormat.DER_PKCS12))
    held = order.held
    if held is None or held.kind is not HeldKind.PKCS12 or held.taken_by not in {None, message.sender}:
        text = "the private key was handed out, or its time was over: it is erased, and nobody can get it again"
        raise RefusedError(finding("download.erased", text))
    return held


@dataclass(frozen=True)
class CertificateRevokedHandler:
    """Remembers that a certificate is revoked: it is delivered no more, and its private key is erased."""

    orders: OrderStore
    in_force: PolicyInForce
    erasing: Erasing
    clock: Clock

    async def __call__(self, message: Received[events.CertificateRevoked]) -> Outcome:
        """Handle the event, if the revoker signed for it."""
        order = await self.orders.load(message.data.request_id)
        revocation = read_revocation(message.data.revocation, self.in_force.anchor, now=self.clock.now())
        if order is None or revocation.request_id != order.id or order.issuance is None:
            return NOTHING
        stored = order.outcome_of(message.id)
        if stored is not None:
            return stored
        erased, told = self.erasing.of(order, ErasedBecause.ENDED)
        due = order.due if order.unpublished else None
        changed = erased.model_copy(update={"revoked": True, "due": due})
        await self.orders.replace(changed.followed_by(message.id, *told))
        return Outcome(publish=told)
