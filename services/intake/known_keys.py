"""Keys that are known already: pure, no I/O.

A key belongs to the requesters of the first request that was accepted with it. No other request gets it, and nobody
gets one that was ever revoked as compromised.
"""

from collections.abc import Iterator

from services.intake.model import KnownKey, RequestRecord
from services.intake.story import revision_in_force
from shared.errors import RefusedError
from shared.evidence.jws import payload_of
from shared.evidence.steps import Issuance, KeyBlock
from shared.policy.policy import Policy
from shared.vocabulary.findings import Finding, finding
from shared.vocabulary.names import Digest, IdentityName
from shared.vocabulary.states import State
from shared.x509.csr import parse_csr

REMEMBERED_REQUESTS = 100
"""How many requests of one key are remembered; the first requesters and a compromise always are."""


def check_known_key(known: KnownKey | None, requesters: tuple[IdentityName, ...], policy: Policy) -> Iterator[Finding]:
    """Why these requesters may not have this key; whose it is, is not told."""
    if known is None:
        return
    if known.compromised_by is not None:
        message = "a certificate with this key was revoked because the key was compromised; make a new key"
        yield finding("key.compromised", message, value=known.id)
    if known.requesters and not _people(known.requesters, policy) & _people(requesters, policy):
        message = "another requester has used this key already; make a new key"
        yield finding("key.used-by-another", message, value=known.id)


def _people(requesters: tuple[IdentityName, ...], policy: Policy) -> set[str]:
    """Those who act under these identities: however many somebody owns, they are one."""
    people = {policy.person_of(name) for name in requesters} - {None}
    return {f"person {person}" for person in people} | {f"identity {name}" for name in requesters}


def key_of(record: RequestRecord) -> Digest | None:
    """The key of an accepted request; of one that the issuer was to make, none is known before its certificate is."""
    if record.evidence is None:
        raise ValueError("a refused request has no key")
    key = revision_in_force(record.evidence).public_key
    return made_key(record.evidence.issuance) if key is None and record.evidence.issuance is not None else key


def made_key(issuance: str) -> Digest | None:
    """The key that the issuer made, by its own word; none if that is of no use."""
    try:
        said = Issuance.read(payload_of(issuance), code="evidence.issuance-invalid")
        return None if said.csr is None else parse_csr(said.csr).spki_sha256
    except RefusedError:
        return None


def taken(known: KnownKey | None, key: Digest, record: RequestRecord) -> KnownKey:
    """The key with this request among those that have it."""
    if known is None:
        return KnownKey(id=key, requesters=record.requesters, requests=(record.id,))
    requests = (*known.requests, record.id)[-REMEMBERED_REQUESTS:]
    return known.model_copy(update={"requests": requests})


def compromised(known: KnownKey | None, key: Digest, record: RequestRecord) -> KnownKey:
    """The key after the certificate of this request was revoked because of it."""
    return (known or taken(None, key, record)).model_copy(update={"compromised_by": record.id})


def blocked(known: KnownKey | None, block: KeyBlock) -> KnownKey:
    """The key after it was reported as compromised, be it that no request here ever had it."""
    known = known or KnownKey(id=block.key, requesters=(), requests=())
    return known.model_copy(update={"compromised_by": block.request_id})


def refused_after_all(record: RequestRecord, findings: list[Finding]) -> RequestRecord:
    """A request that was stored and never announced, because somebody else took its key a moment before."""
    first = record.happenings[0].model_copy(
        update={"state": State.REFUSED, "message": "refused by the screening", "findings": tuple(findings)}
    )
    return record.model_copy(
        update={
            "state": State.REFUSED,
            "findings": first.findings,
            "happenings": (first,),
            "evidence": None,
            "outcomes": {},
            "mails": (),
            "due": None,
            "waiting_since": None,
        }
    )
