"""The revoker's decisions: pure, no await, no clock, no I/O."""

from datetime import datetime

from services.revoker.model import Certificate, CertificateState
from shared.contracts.commands import RevokeCertificate
from shared.contracts.events import CertificateIssued, CertificateQuarantined
from shared.errors import RefusedError
from shared.evidence.anchor import Anchor
from shared.evidence.steps import Revocation
from shared.evidence.verification import read_issuance, read_revision
from shared.policy.policy import Policy
from shared.vocabulary.findings import finding
from shared.vocabulary.names import Digest, IdentityName
from shared.vocabulary.permissions import Permission
from shared.vocabulary.reasons import RevocationReason
from shared.x509.certificate import identify_certificate

AVAILABLE_REASONS = (
    RevocationReason.UNSPECIFIED,
    RevocationReason.KEY_COMPROMISE,
    RevocationReason.AFFILIATION_CHANGED,
    RevocationReason.SUPERSEDED,
    RevocationReason.CESSATION_OF_OPERATION,
)
"""The reasons that DigiCert takes for TLS certificates (BR 7.2.2)."""


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
        digest=leaf.sha256,
        issuance=signed.digest,
    )


def revoke(
    certificate: Certificate | None,
    command: RevokeCertificate,
    *,
    sender: IdentityName,
    policy: Policy,
    now: datetime,
    due: int,
) -> Certificate:
    """The certificate with its revocation accepted; unchanged when that happened before.

    Raises:
        RefusedError: `revocation.not-issued`, `revocation.reason-not-available`, `revocation.reason-differs`.
    """
    if certificate is None or not _may_revoke(certificate, sender, policy):
        raise RefusedError(
            finding(
                "revocation.not-issued",
                "there is no certificate for such a request that you may revoke",
                value=command.request_id,
            )
        )
    if command.reason not in AVAILABLE_REASONS:
        instead = ", ".join(AVAILABLE_REASONS)
        raise RefusedError(
            finding(
                "revocation.reason-not-available",
                f"the CA takes these reasons: {instead}",
                value=command.reason,
            )
        )
    if certificate.state is not CertificateState.LIVE:
        if command.reason is not certificate.reason:
            text = f"this certificate is being revoked, or is revoked, for another reason: {certificate.reason}"
            raise RefusedError(finding("revocation.reason-differs", text, value=command.reason))
        return certificate
    return certificate.model_copy(
        update={
            "state": CertificateState.REVOKING,
            "reason": command.reason,
            "notes": command.notes,
            "requested_by": sender,
            "requested_at": now,
            "due": due,
        }
    )


def _may_revoke(certificate: Certificate, sender: IdentityName, policy: Policy) -> bool:
    identity = policy.identity(sender)
    return sender in certificate.requesters or (
        identity is not None and identity.may(Permission.REVOKE, certificate.approval_group)
    )


def revocation_of(certificate: Certificate, *, policy_digest: Digest, now: datetime) -> Revocation:
    """What the revoker signs when the CA has revoked."""
    if certificate.reason is None or certificate.requested_by is None or certificate.requested_at is None:
        raise ValueError("a revocation has a reason, a requester and a time")
    return Revocation(
        request_id=certificate.id,
        issuance=certificate.issuance,
        serial_number=certificate.serial_number,
        certificate=certificate.digest,
        reason=certificate.reason,
        notes=certificate.notes,
        requested_by=certificate.requested_by,
        requested_at=certificate.requested_at,
        revoked_at=now,
        policy_digest=policy_digest,
    )
