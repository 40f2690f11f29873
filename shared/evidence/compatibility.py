"""The signed words on which compatibility rests: the issuer's facts, and a policy officer's attestation."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Annotated, Literal

from pydantic import Field

from shared.contracts.statement import CompactJws
from shared.errors import RefusedError
from shared.evidence.anchor import Anchor
from shared.evidence.dual_control import Officer
from shared.evidence.jws import SigningKey, Typ, payload_of, verify
from shared.policy.compatibility import Combination, ProductFacts
from shared.vocabulary.duties import Duty
from shared.vocabulary.findings import finding
from shared.vocabulary.model import Model

LONGEST = timedelta(days=92)
"""For how long an attestation may be given: the CA changes its intermediates every few months."""


class Attestation(Model):
    """What an officer signs: exactly this goes together, up to and including this day (UTC)."""

    combination: Combination
    until: date


class Attestations(Model):
    """The file beside the policy."""

    format: Literal["countersign-attestations/1"] = "countersign-attestations/1"
    attestations: Annotated[tuple[CompactJws, ...], Field(max_length=200)] = ()


def sign_facts(facts: ProductFacts, key: SigningKey) -> str:
    """The issuer's word that the CA said this."""
    return key.sign(facts.canonical(), Typ.PRODUCT_FACTS, facts.taken_at)


def read_facts(token: str, anchor: Anchor, *, now: datetime) -> ProductFacts:
    """What the issuer says that the CA said.

    Raises:
        RefusedError: `evidence.*`: the signature is not the issuer's, or the payload is malformed.
    """
    signed = verify(token, Typ.PRODUCT_FACTS, anchor.duties[Duty.ISSUER], now=now)
    return ProductFacts.read(signed.payload, code="evidence.facts-invalid")


def attest(combination: Combination, until: date, key: SigningKey, *, at: datetime) -> str:
    """An officer's signature under this.

    Raises:
        RefusedError: `attestation.until`: this day has passed, or is too far ahead.
    """
    if not at.date() <= until <= (at + LONGEST).date():
        text = f"an attestation ends within {LONGEST.days} days from now, and not in the past"
        raise RefusedError(finding("attestation.until", text, value=until))
    return key.sign(Attestation(combination=combination, until=until).canonical(), Typ.ATTESTATION, at)


def attested_until(
    attestations: Attestations, combination: Combination, officers: Sequence[Officer], *, now: datetime
) -> date | None:
    """The last day of the longest attestation of exactly this combination by a pinned officer; none without one."""
    days = (_read(token, officers, now=now) for token in attestations.attestations)
    return max((said.until for said in days if said is not None and said.combination == combination), default=None)


def with_attestation(attestations: Attestations, combination: Combination, token: str) -> Attestations:
    """The attestations with this one of this combination, which takes the place of earlier ones."""
    kept = [known for known in attestations.attestations if _combination(known) != combination]
    return Attestations(attestations=(*kept, token))


def _read(token: str, officers: Sequence[Officer], *, now: datetime) -> Attestation | None:
    try:
        signed = verify(token, Typ.ATTESTATION, [officer.key for officer in officers], now=now)
        said = Attestation.read(signed.payload, code="attestation.invalid")
    except RefusedError:
        return None
    return said if said.until <= (signed.signed_at + LONGEST).date() else None


def _combination(token: str) -> Combination | None:
    """What an attestation is about, not verified: only to know which one a new one replaces."""
    try:
        return Attestation.read(payload_of(token), code="attestation.invalid").combination
    except RefusedError:
        return None
