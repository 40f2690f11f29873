"""What the issuer tells of a certificate after its issue: kept with the evidence, once its signature is verified."""

from dataclasses import dataclass
from typing import TypeVar

from services.intake.announcing import Announcer, Occasion
from services.intake.model import RequestRecord
from services.intake.ports import RequestStore
from shared.clock import Clock
from shared.contracts import events
from shared.contracts.events import MOST_DELIVERIES, Evidence
from shared.errors import RefusedError
from shared.evidence.afterwards import read_delivery, read_erasure
from shared.evidence.in_force import PolicyInForce
from shared.evidence.jws import payload_of
from shared.evidence.steps import Erasure, Issuance
from shared.messaging.messages import Outcome, Outgoing, Received
from shared.vocabulary.findings import finding
from shared.vocabulary.held import ErasedBecause
from shared.vocabulary.model import digest_of

NewsT = TypeVar("NewsT", events.CertificateDelivered, events.KeyErased)
_TOLD = frozenset({ErasedBecause.TIME, ErasedBecause.OPERATOR, ErasedBecause.UNCONFIRMED})
"""Erasures that a requester would not know of."""


@dataclass(frozen=True)
class DeliveryHandler:
    """Keeps who has downloaded a certificate, and when."""

    requests: RequestStore
    in_force: PolicyInForce
    clock: Clock

    async def __call__(self, message: Received[events.CertificateDelivered]) -> Outcome:
        """Handle the news."""
        record, evidence = await _loaded(self.requests, message)
        stored = record.outcome_of(message.id)
        if stored is not None:
            return stored
        token = message.data.delivery
        _, delivery = read_delivery(token, self.in_force.anchor, now=self.clock.now())
        _check_about(delivery.request_id, record)
        first, latest = evidence.deliveries[: MOST_DELIVERIES // 2], evidence.deliveries[MOST_DELIVERIES // 2 :]
        kept = (*first, *(*latest, token)[-MOST_DELIVERIES // 2 :])
        evidence = evidence.model_copy(update={"deliveries": kept})
        await self.requests.replace(record.model_copy(update={"evidence": evidence}).followed_by(message.id))
        return Outcome()


@dataclass(frozen=True)
class ErasureHandler:
    """Keeps that a private key is erased; requesters are told where they would not know."""

    requests: RequestStore
    in_force: PolicyInForce
    announcer: Announcer
    clock: Clock

    async def __call__(self, message: Received[events.KeyErased]) -> Outcome:
        """Handle the news."""
        record, evidence = await _loaded(self.requests, message)
        stored = record.outcome_of(message.id)
        if stored is not None:
            return stored
        token = message.data.erasure
        _, erasure = read_erasure(token, self.in_force.anchor, now=self.clock.now())
        _check_about(erasure.request_id, record)
        told: tuple[Outgoing, ...] = ()
        if erasure.why in _TOLD:
            told = self.announcer.erased(record, erasure.why, Occasion(message.id))
        if _is_of_the_key(erasure, evidence):
            evidence = evidence.model_copy(update={"erasure": token})
        await self.requests.replace(record.model_copy(update={"evidence": evidence}).followed_by(message.id, *told))
        return Outcome(publish=told)


def _is_of_the_key(erasure: Erasure, evidence: Evidence) -> bool:
    """Whether the key that was erased is the one of the certificate, as far as there is one.

    A request that was approved twice had two keys, of which the first never came to anything.
    """
    if evidence.issuance is None:
        return True
    issued = Issuance.read(payload_of(evidence.issuance), code="evidence.payload-invalid")
    return issued.csr is None or digest_of(issued.csr) == erasure.csr


async def _loaded(requests: RequestStore, message: Received[NewsT]) -> tuple[RequestRecord, Evidence]:
    record = await requests.load(message.data.request_id)
    if record is None or record.evidence is None:
        raise RefusedError(finding("request.unknown", "news of a request that intake never accepted"))
    return record, record.evidence


def _check_about(request_id: str, record: RequestRecord) -> None:
    if request_id != record.id:
        raise RefusedError(finding("evidence.request-differs", "the evidence is about another request"))
