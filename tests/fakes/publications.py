"""What intake shows an auditor of requests at every stage, signed by the duties of the world."""

from collections.abc import Sequence
from datetime import datetime

from shared.contracts.replies import Publication
from shared.evidence.file import last_day_of
from shared.evidence.jws import Typ, payload_of
from shared.evidence.steps import Issuance, Revocation
from shared.vocabulary.duties import Duty
from shared.vocabulary.model import digest_of
from shared.vocabulary.names import ApprovalGroupName
from shared.vocabulary.reasons import RevocationReason
from shared.vocabulary.states import State
from shared.x509.certificate import parse_certificate
from tests.world import NOW, Approved, shared_ca, signing_key


def published(
    begun: Approved, state: State, *, order_id: int | None = None, at: datetime = NOW, **changes: object
) -> Publication:
    """A request in this state, with the number of its order if one was announced."""
    fields: dict[str, object] = {
        "request_id": begun.revision.request_id,
        "approval_group": ApprovalGroupName("web"),
        "state": state,
        "changed_at": at,
        "revisions": begun.evidence.revisions,
        "verdict": begun.evidence.verdict,
        "order_id": order_id,
    }
    return Publication.model_validate(fields | changes)


def issuance_of(begun: Approved, chain: Sequence[bytes] = (), **changes: object) -> Issuance:
    """What an honest issuer says of the certificate that came for this approval."""
    ca = shared_ca()
    fields: dict[str, object] = {
        "request_id": begun.revision.request_id,
        "revision": begun.digest,
        "verdict": digest_of(payload_of(begun.evidence.verdict or "")),
        "outcome": "issued",
        "order_id": 1,
        "certificate_id": 2,
        "alternative_order_id": "a",
        "chain": tuple(chain) or (ca.issue(begun.revision), ca.intermediate, ca.root),
        "ordered_on": NOW.date(),
        "expires_on": last_day_of(begun.revision, ordered_on=NOW.date()),
        "policy_digest": digest_of(b"policy"),
    }
    return Issuance.model_validate(fields | changes)


def issued(begun: Approved, said: Issuance, *, at: datetime = NOW, by: str = Duty.ISSUER) -> Publication:
    """A request with its certificate."""
    token = signing_key(by).sign(said.canonical(), Typ.ISSUANCE, at)
    return published(begun, State(said.outcome), at=at, issuance=token)


def revoked(publication: Publication, **changes: object) -> Publication:
    """The same after the revoker revoked the certificate."""
    said = Issuance.read(payload_of(publication.issuance or ""), code="a.b")
    leaf = parse_certificate(said.chain[0])
    fields: dict[str, object] = {
        "request_id": said.request_id,
        "issuance": digest_of(said.canonical()),
        "serial_number": leaf.serial_hex,
        "certificate": leaf.sha256,
        "reason": RevocationReason.SUPERSEDED,
        "notes": "",
        "requested_by": "olga",
        "requested_at": NOW,
        "revoked_at": NOW,
        "policy_digest": digest_of(b"policy"),
    }
    revocation = Revocation.model_validate(fields | changes)
    token = signing_key(Duty.REVOKER).sign(revocation.canonical(), Typ.REVOCATION, NOW)
    return publication.model_copy(update={"state": State.REVOKED, "revocation": token})
