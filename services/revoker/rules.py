"""The revoker's decisions: pure, no await, no clock, no I/O."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from services.revoker.model import Asked, Certificate
from shared.contracts.commands import NamedCertificate, RevokeCertificate
from shared.contracts.events import CertificateIssued, CertificateQuarantined
from shared.errors import RefusedError
from shared.evidence.anchor import Anchor
from shared.evidence.jws import SKEW
from shared.evidence.steps import KeyBlock, Revocation
from shared.evidence.verification import read_issuance, read_revision
from shared.messaging.schedule import milliseconds
from shared.policy.policy import Policy
from shared.policy.products import product_of
from shared.vocabulary.findings import Finding, finding
from shared.vocabulary.model import digest_of
from shared.vocabulary.names import Digest, IdentityName, MessageId
from shared.vocabulary.permissions import Permission
from shared.vocabulary.reasons import RevocationReason
from shared.vocabulary.revocations import CertificateState
from shared.x509.certificate import identify_certificate
from shared.x509.possession import PossessionProof, is_proven

PROOF_SERVES = timedelta(minutes=10)
"""How long a proof of possession may be on its way."""
KEY_COMPROMISE = RevocationReason.KEY_COMPROMISE

_OPEN = (CertificateState.REQUESTED, CertificateState.REVOKING)
_FOR_A_CA = "it is about a CA's key, never about a certificate like this; if its own key is known, say keyCompromise"
_NO_HOLD = "no CA that is connected can hold a certificate, or release one again"
INSTEAD = {
    RevocationReason.CA_COMPROMISE: _FOR_A_CA,
    RevocationReason.AA_COMPROMISE: _FOR_A_CA,
    RevocationReason.CERTIFICATE_HOLD: f"{_NO_HOLD}: say cessationOfOperation or superseded, which are for good",
    RevocationReason.REMOVE_FROM_CRL: f"{_NO_HOLD}: what is revoked stays revoked; request a new certificate",
    RevocationReason.PRIVILEGE_WITHDRAWN: (
        "it is for the CA to say: say cessationOfOperation if it is no longer to be used, affiliationChanged if its "
        "organisation is no longer right"
    ),
}
"""What to say where a reason is not taken."""


def certificate_of(
    event: CertificateIssued | CertificateQuarantined, anchor: Anchor, *, sequence: int, now: datetime
) -> Certificate:
    """The certificate that the issuer says it obtained, if its evidence holds.

    Raises:
        RefusedError: `evidence.*`.
    """
    signed, issuance = read_issuance(event.issuance, anchor, now=now)
    revised = read_revision(event.revision.jws, anchor, now=now)
    if issuance.revision != revised.digest or event.request_id != issuance.request_id:
        raise RefusedError(finding("evidence.issuance-differs", "the certificate was issued for another revision"))
    revision, leaf = revised.revision, identify_certificate(issuance.chain[0])
    return Certificate(
        id=event.request_id,
        quarantined=issuance.outcome == "quarantined",
        sequence=sequence,
        approval_group=revision.policy.approval_group,
        requesters=revision.requesters,
        order_id=issuance.order_id,
        certificate_id=issuance.certificate_id,
        serial_number=leaf.serial_hex,
        issuer=leaf.issuer,
        digest=leaf.sha256,
        issuance=signed.digest,
        product=revision.policy.product,
        trust=revision.policy.trust,
        issued_ms=milliseconds(signed.signed_at.timestamp()),
        not_after=leaf.not_after,
        spki=leaf.spki,
        key=digest_of(leaf.spki),
    )


# --- who, and which certificate -----------------------------------------------------------------------------------


def chosen(
    known: Sequence[Certificate], command: NamedCertificate, *, sender: IdentityName, policy: Policy, now: datetime
) -> Certificate:
    """The certificate that the command names, if the sender may have it revoked.

    A stranger learns nothing: not whether there is such a certificate, nor what is wrong with a proof.

    Raises:
        RefusedError: `revocation.not-issued`, `revocation.proof-invalid` or `revocation.ambiguous`.
    """
    proof = command.proof if isinstance(command, RevokeCertificate) else None
    if isinstance(command, RevokeCertificate) and proof is not None:
        mine = [each for each in known if proves(proof, command, each, sender=sender, now=now)]
        code, text = (
            "revocation.proof-invalid",
            (
                "this does not prove that you hold the private key of such a certificate: sign again with its own key, "
                "for this name of it and for keyCompromise, and send it at once"
            ),
        )
    else:
        mine = [each for each in known if may_revoke(each, sender, policy)]
        code, text = "revocation.not-issued", "there is no such certificate that you may revoke"
    if not mine:
        raise RefusedError(finding(code, text, value=command.named))
    if len(mine) > 1:
        raise ambiguous(mine, command.named)
    return mine[0]


def ambiguous(found: Sequence[Certificate], name: str) -> RefusedError:
    """The refusal to guess which of these is meant."""
    which = "; ".join(f"{each.id} of {each.issuer}" for each in found)
    text = f"several issuers have given this serial number: name the request instead: {which}"
    return RefusedError(finding("revocation.ambiguous", text, value=name))


def may_revoke(certificate: Certificate, sender: IdentityName, policy: Policy) -> bool:
    """Whether this identity may have it revoked by itself: it asked for it, or has the permission for its group."""
    identity = policy.identity(sender)
    return sender in certificate.requesters or (
        identity is not None and identity.may(Permission.REVOKE, certificate.approval_group)
    )


def proves(
    proof: PossessionProof, command: RevokeCertificate, certificate: Certificate, *, sender: IdentityName, now: datetime
) -> bool:
    """Whether this proof, relayed by the sender for this command now, was made with the certificate's key."""
    said, age = proof.statement, now.timestamp() - proof.statement.signed_at
    return (
        command.reason is KEY_COMPROMISE
        and said.certificate == command.named
        and said.relayed_by == sender
        and -SKEW.total_seconds() <= age <= PROOF_SERVES.total_seconds()
        and is_proven(certificate.spki, proof)
    )


# --- accepting ------------------------------------------------------------------------------------------------------


def revoke(
    certificate: Certificate,
    command: RevokeCertificate,
    *,
    message: MessageId,
    sender: IdentityName,
    policy: Policy,
    now: datetime,
) -> Certificate:
    """The certificate with its revocation accepted; unchanged when that happened before.

    Raises:
        RefusedError: `revocation.reason-not-available`, `revocation.reason-differs`, `revocation.expired`.
    """
    refused = [*_check_reason(certificate, command.reason)]
    if refused:
        raise RefusedError.of(refused)
    if certificate.state is not CertificateState.LIVE:
        before = certificate.asked
        if command.reason is before.reason:
            return certificate
        if command.reason is not KEY_COMPROMISE:
            text = f"this certificate is being revoked, or is revoked, for another reason: {before.reason}"
            raise RefusedError(finding("revocation.reason-differs", text, value=command.reason))
    if now > certificate.not_after:
        text = f"this certificate expired at {certificate.not_after.isoformat()}: there is nothing left to revoke"
        raise RefusedError(finding("revocation.expired", text, value=certificate.serial_number))
    asked = Asked(
        id=message,
        reason=command.reason,
        notes=command.notes,
        by=sender,
        at=now,
        deadline=now + command.reason.time_allowed,
        proof=command.proof,
        needed=_needed(certificate, command.reason, policy),
        replaces=_replaced(certificate),
        overtook=certificate.revocation if certificate.state in _OPEN else None,
    )
    waits = asked.needed > 0
    return certificate.model_copy(
        update={
            "state": CertificateState.REQUESTED if waits else CertificateState.REVOKING,
            "sequence": certificate.sequence + 1,
            "revocation": asked,
            "deadline_ms": milliseconds(asked.deadline.timestamp()),
            "due": None if waits else milliseconds(now.timestamp()),
        }
    )


def _check_reason(certificate: Certificate, reason: RevocationReason) -> Iterator[Finding]:
    taken = product_of(certificate.product, certificate.trust).revocation_reasons
    if reason not in taken:
        instead = INSTEAD.get(reason, "")
        text = f"{instead}{'. ' if instead else ''}The CA takes these reasons: {', '.join(taken)}"
        yield finding("revocation.reason-not-available", text, value=reason)


def _needed(certificate: Certificate, reason: RevocationReason, policy: Policy) -> int:
    """How many people must confirm it: nobody what is held back, nor what must not wait."""
    group = policy.group(certificate.approval_group)
    if group is None or certificate.quarantined or reason is KEY_COMPROMISE:
        return 0
    return group.revocation_approvals.get(reason, 0)


def _replaced(certificate: Certificate) -> RevocationReason | None:
    """The reason that the CA may have by now."""
    if certificate.state is CertificateState.REVOKING:
        return certificate.asked.reason
    return certificate.revoked_for


# --- what is signed -------------------------------------------------------------------------------------------------


def revocation_of(certificate: Certificate, *, policy_digest: Digest, now: datetime, elsewhere: bool) -> Revocation:
    """What the revoker signs when the CA has revoked."""
    asked = certificate.asked
    return Revocation(
        request_id=certificate.id,
        issuance=certificate.issuance,
        serial_number=certificate.serial_number,
        certificate=certificate.digest,
        reason=asked.reason,
        notes=asked.notes,
        requested_by=asked.by,
        requested_at=asked.at,
        revoked_at=now,
        policy_digest=policy_digest,
        revocation_id=asked.id,
        proof=asked.proof,
        confirmations=tuple(each.jws for each in asked.confirmations),
        replaces=asked.replaces,
        elsewhere=elsewhere,
        campaign=asked.campaign,
    )


def key_block_of(certificate: Certificate, *, policy_digest: Digest) -> KeyBlock:
    """What the revoker signs when a key was reported as compromised."""
    return KeyBlock(
        key=certificate.key,
        request_id=certificate.id,
        certificate=certificate.digest,
        reported_by=certificate.asked.by,
        reported_at=certificate.asked.at,
        policy_digest=policy_digest,
    )


def ended(certificate: Certificate, findings: tuple[Finding, ...]) -> Certificate:
    """The certificate after a revocation that came to nothing: as it was before that was asked for."""
    state = CertificateState.LIVE if certificate.revoked_for is None else CertificateState.REVOKED
    reason = certificate.asked.reason if certificate.revoked_for is None else certificate.revoked_for
    asked = certificate.asked.model_copy(update={"findings": findings, "reason": reason})
    return certificate.model_copy(update={"state": state, "revocation": asked, "deadline_ms": None})


def refused(certificate: Certificate, findings: tuple[Finding, ...], *, now: datetime) -> Certificate:
    """The certificate after the CA refused to revoke it: what this has overtaken goes on from where it was.

    Else it is as before, but its clock runs on: it still has to be revoked.
    """
    overtook = certificate.asked.overtook
    if overtook is None:
        back = ended(certificate, findings)
        deadline_ms = certificate.deadline_ms if certificate.revoked_for is None else None
        asked = back.asked.model_copy(update={"ended_at": now})
        return back.model_copy(update={"revocation": asked, "deadline_ms": deadline_ms})
    was_begun = certificate.asked.replaces is not None
    return certificate.model_copy(
        update={
            "state": CertificateState.REVOKING if was_begun else CertificateState.REQUESTED,
            "revocation": overtook.model_copy(update={"findings": findings}),
            "deadline_ms": milliseconds(overtook.deadline.timestamp()),
        }
    )
