"""What the issuer signs after the issue: whom it handed the certificate out to, and that the private key is erased."""

from collections.abc import Iterator
from datetime import datetime

from shared.contracts.events import Evidence
from shared.errors import RefusedError
from shared.evidence.anchor import Anchor
from shared.evidence.jws import Typ, Verified, verify
from shared.evidence.steps import Delivery, Erasure, Issuance
from shared.vocabulary.duties import Duty
from shared.vocabulary.findings import finding
from shared.vocabulary.model import digest_of
from shared.vocabulary.names import RequestId


def read_delivery(token: str, anchor: Anchor, *, now: datetime) -> tuple[Verified, Delivery]:
    """The issuer's signed word that it handed a certificate out.

    Raises:
        RefusedError: the signature does not hold or the payload is malformed.
    """
    signed = verify(token, Typ.DELIVERY, anchor.duties[Duty.ISSUER], now=now)
    return signed, Delivery.read(signed.payload, code="evidence.delivery-invalid")


def read_erasure(token: str, anchor: Anchor, *, now: datetime) -> tuple[Verified, Erasure]:
    """The issuer's signed word that it holds a private key no more.

    Raises:
        RefusedError: the signature does not hold or the payload is malformed.
    """
    signed = verify(token, Typ.ERASURE, anchor.duties[Duty.ISSUER], now=now)
    return signed, Erasure.read(signed.payload, code="evidence.erasure-invalid")


def afterwards(
    evidence: Evidence,
    request_id: RequestId,
    issued: tuple[Issuance, Verified] | None,
    anchor: Anchor,
    *,
    now: datetime,
) -> Iterator[str]:
    """Each of these steps in a sentence.

    Raises:
        RefusedError: with the first finding that breaks one of them.
    """
    for token in evidence.deliveries:
        signed, delivery = read_delivery(token, anchor, now=now)
        if issued is None or (delivery.request_id, delivery.issuance) != (request_id, issued[1].digest):
            raise RefusedError(finding("evidence.delivery-differs", "another certificate was handed out"))
        yield f"{signed.signed_at.isoformat()}  issuer handed it to {delivery.by} as {delivery.format}"
    if evidence.erasure is None:
        return
    signed, erasure = read_erasure(evidence.erasure, anchor, now=now)
    made = None if issued is None or issued[0].csr is None else digest_of(issued[0].csr)
    if erasure.request_id != request_id or made not in {None, erasure.csr}:
        raise RefusedError(finding("evidence.erasure-differs", "another private key was erased"))
    by = f", {erasure.by}" if erasure.by else ""
    yield f"{signed.signed_at.isoformat()}  issuer erased the private key ({erasure.what}): {erasure.why}{by}"
