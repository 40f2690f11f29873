"""The last step of the chain: what was revoked, who confirmed it, and which key nobody gets any more."""

from datetime import datetime

from shared.contracts.events import Evidence
from shared.errors import RefusedError
from shared.evidence.anchor import Anchor
from shared.evidence.jws import Typ, Verified, payload_of, verify
from shared.evidence.steps import KeyBlock, Revocation, RevocationConfirmation
from shared.vocabulary.duties import Duty
from shared.vocabulary.findings import finding
from shared.vocabulary.names import IdentityName
from shared.vocabulary.revocations import Confirmation


def verify_revocation(evidence: Evidence, issuance: Verified, anchor: Anchor, *, now: datetime) -> Revocation | None:
    """Step 6: what the revoker says it revoked, if it did.

    Raises:
        RefusedError: with every finding.
    """
    if evidence.revocation is None:
        return None
    revocation = read_revocation(evidence.revocation, anchor, now=now)
    if revocation.issuance != issuance.digest:
        raise RefusedError(finding("evidence.revocation-differs", "another certificate was revoked"))
    confirmed_by(revocation, anchor, now=now)
    return revocation


def confirmed_by(revocation: Revocation, anchor: Anchor, *, now: datetime) -> tuple[IdentityName, ...]:
    """Those who confirmed this revocation, each a person of their own and none of them who asked.

    Raises:
        RefusedError: a signature does not hold, or `evidence.confirmation-differs`.
    """
    people = {anchor.person_of(revocation.requested_by)} - {None}
    names = []
    for token in revocation.confirmations:
        said = read_confirmation(token, anchor, now=now)
        person = anchor.person_of(said.approver)
        same = (said.request_id, said.revocation_id, said.certificate, said.reason) == (
            revocation.request_id,
            revocation.revocation_id,
            revocation.certificate,
            revocation.reason,
        )
        if not same or said.confirmation is not Confirmation.CONFIRM or person is None or person in people:
            text = "this was not confirmed by another person for this revocation"
            raise RefusedError(finding("evidence.confirmation-differs", text, value=said.approver))
        people.add(person)
        names.append(said.approver)
    return tuple(names)


def read_confirmation(token: str, anchor: Anchor, *, now: datetime) -> RevocationConfirmation:
    """A person's word on a revocation, signed with a key of the identity it names.

    Raises:
        RefusedError: the signature does not hold or the payload is malformed.
    """
    claimed = RevocationConfirmation.read(payload_of(token), code="evidence.confirmation-invalid")
    verify(token, Typ.CONFIRMATION, anchor.keys_of(claimed.approver), now=now)
    return claimed


def read_key_block(token: str, anchor: Anchor, *, now: datetime) -> KeyBlock:
    """The revoker's signed word that a key is compromised.

    Raises:
        RefusedError: the signature does not hold or the payload is malformed.
    """
    signed = verify(token, Typ.KEY_BLOCK, anchor.duties[Duty.REVOKER], now=now)
    return KeyBlock.read(signed.payload, code="evidence.key-block-invalid")


def read_revocation(token: str, anchor: Anchor, *, now: datetime) -> Revocation:
    """The revoker's signed word on what it revoked, on its own.

    Raises:
        RefusedError: the signature does not hold or the payload is malformed.
    """
    signed = verify(token, Typ.REVOCATION, anchor.duties[Duty.REVOKER], now=now)
    return Revocation.read(signed.payload, code="evidence.revocation-invalid")
