"""The steps of the evidence: what each signature is made over."""

import operator
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from shared.contracts.content import EditedContent, Line, Notes, WantedKey
from shared.contracts.events import MOST_REVISIONS
from shared.contracts.statement import CompactJws
from shared.policy.fitness import Proposal
from shared.policy.resolution import ResolvedPolicy
from shared.vocabulary.findings import Finding
from shared.vocabulary.formats import DownloadFormat
from shared.vocabulary.held import ErasedBecause, HeldKind
from shared.vocabulary.model import Blob, Model, is_none
from shared.vocabulary.names import (
    DigestField,
    EmailAddress,
    IdentityField,
    MessageIdField,
    PersonField,
    RequestIdField,
    SerialNumber,
)
from shared.vocabulary.reasons import RevocationReason
from shared.vocabulary.revocations import Confirmation
from shared.x509.extensions import MAX_EXTENSIONS, CertificateExtension
from shared.x509.names import DistinguishedName, SubjectAltNames
from shared.x509.possession import PossessionProof
from shared.x509.stand_ins import asked_with

MOST_IN_A_CHAIN = 10
"""Of certificates that the CA sends; how many are a good chain, `verify_chain` says."""

MOST_AT_ONCE = 50
"""Of requests decided on by one signature: each of them carries all of it."""
DecisionNote = Annotated[str, StringConstraints(max_length=1_000)]


class Edit(EditedContent):
    """Step 2: an approver's word on what a request shall be, in place of one revision of it."""

    request_id: RequestIdField
    predecessor: DigestField
    """The revision that was edited: an edit serves once."""
    editor: IdentityField


class Revision(Model):
    """Steps 1 and 2: one version of a request's content, with the part of the policy that applies to it.

    The first is intake's. A later one is approval's: what follows from an edit, or a renewal, the same content under a
    policy that has changed.
    """

    request_id: RequestIdField
    number: Annotated[int, Field(ge=1, le=MOST_REVISIONS)]
    submission: DigestField
    predecessor: DigestField | None = None
    requesters: Annotated[tuple[IdentityField, ...], Field(min_length=1, max_length=2)]
    name: Line
    method: Literal["csr", "generated"] = "csr"
    csr: Annotated[Blob, Field(max_length=65_536)] | None = Field(default=None, exclude_if=is_none)
    """PKCS#10, DER."""
    public_key: DigestField | None = Field(default=None, exclude_if=is_none)
    """Of the SubjectPublicKeyInfo, DER."""
    generated: WantedKey | None = Field(default=None, exclude_if=is_none)
    """In place of both, where the issuer is to make the key pair: which one it made, its issuance says."""
    subject: DistinguishedName
    names: SubjectAltNames
    extensions: Annotated[tuple[CertificateExtension, ...], Field(max_length=MAX_EXTENSIONS)]
    """All that the policy provides for beside the alternative names."""
    expires_on: date | None
    notes: Notes
    emails: tuple[EmailAddress, ...]
    policy: ResolvedPolicy
    policy_digest: DigestField
    """Of the policy that its duty had in force, whole."""
    findings: tuple[Finding, ...] = ()
    """Warnings and notes of the screening, for the approvers."""
    edit: DigestField | None = Field(default=None, exclude_if=is_none)
    """The latest edit, of which this follows, whether it was renewed since or not; none while nobody edited it."""
    editors: Annotated[tuple[IdentityField, ...], Field(exclude_if=operator.not_)] = ()
    """Who edited it so far, each once."""
    editor_people: Annotated[tuple[PersonField, ...], Field(exclude_if=operator.not_)] = ()
    """Who owned them when they edited, each once, by approval's policy of then: an editor may leave, or be renamed."""

    @model_validator(mode="after")
    def _fits_its_method(self) -> Self:
        has = (self.csr is not None, self.public_key is not None, self.generated is not None)
        if has != (self.method == "csr", self.method == "csr", self.method == "generated"):
            raise ValueError("a revision of method csr has a CSR and its key, one of method generated the wanted key")
        return self

    @property
    def wanted_key_type(self) -> str | None:
        """Of which type a key pair is to be made, if one is."""
        return None if self.generated is None else self.generated.key_type


RENEWABLE = frozenset(
    {"number", "predecessor", "policy", "policy_digest", "subject", "names", "extensions", "findings"}
)
"""The fields in which a renewal may differ from the revision before it.

Subject, names and extensions follow from submission, edit and policy, so that approval has no choice in them.
"""
EDITED = RENEWABLE | {"name", "expires_on", "notes", "emails", "edit", "editors", "editor_people"}
"""The fields in which a revision that was edited may differ from the one before it: approval has no choice in these
either."""
_SCREENED = ("dn.", "eku.", "extension.", "lint.", "name.", "validity.")


def outlives_an_edit(found: Finding) -> bool:
    """Whether a finding is about what no edit changes: the others are found anew, or not any more."""
    return not found.code.startswith(_SCREENED)


def proposal_of(revision: Revision, resolved: ResolvedPolicy, *, today: date) -> Proposal:
    """What a revision proposes, to be judged under this policy on this day.

    Raises:
        RefusedError: its CSR is none, or nobody makes keys of the type that it wants.
    """
    return Proposal(
        csr=asked_with(revision.csr, revision.wanted_key_type),
        subject=revision.subject,
        names=revision.names,
        extensions=revision.extensions,
        resolved=resolved,
        expires_on=revision.expires_on,
        today=today,
    )


class DecisionKind(StrEnum):
    """What an approver decides."""

    APPROVE = "approve"
    DENY = "deny"


class Decision(Model):
    """Step 3: an approver's word on exactly one revision."""

    request_id: RequestIdField
    revision: DigestField
    decision: DecisionKind
    approver: IdentityField
    note: DecisionNote = ""


class DecidedRevision(Model):
    """Exactly one revision of one request."""

    request_id: RequestIdField
    revision: DigestField


class Decisions(Model):
    """Step 3 for several requests under one signature: the same word on each, and each is judged on its own."""

    requests: Annotated[tuple[DecidedRevision, ...], Field(min_length=1, max_length=MOST_AT_ONCE)]
    decision: DecisionKind
    approver: IdentityField
    note: DecisionNote = ""

    @model_validator(mode="after")
    def _names_each_once(self) -> Self:
        if len({each.request_id for each in self.requests}) != len(self.requests):
            raise ValueError("each request is decided on once")
        return self

    def on(self, request_id: str) -> Decision | None:
        """The decision on this request, if it is among them."""
        named = next((each for each in self.requests if each.request_id == request_id), None)
        if named is None:
            return None
        return Decision(
            request_id=named.request_id,
            revision=named.revision,
            decision=self.decision,
            approver=self.approver,
            note=self.note,
        )


class Verdict(Model):
    """Step 4: approval's finding that the quorum is reached."""

    request_id: RequestIdField
    revision: DigestField
    outcome: Literal["approved"] = "approved"
    sequence: Annotated[int, Field(ge=2)]
    """Of the lifecycle event that carries it: two rounds of deciding never have the same verdict."""
    decisions: Annotated[tuple[DigestField, ...], Field(min_length=1, max_length=50)]
    """The digests of the decisions' payloads, in the order of the evidence."""
    policy_digest: DigestField


class Intent(Model):
    """Step 5: what the issuer verified and is about to order; its word to itself, kept in its ledger."""

    request_id: RequestIdField
    revision: DigestField
    verdict: DigestField
    alternative_order_id: str
    expires_on: date
    """The last day that the CA is asked for."""
    policy_digest: DigestField
    csr: DigestField | None = Field(default=None, exclude_if=is_none)
    """Of what is ordered with, where the issuer made the key pair, DER: it is made once."""


class Issuance(Model):
    """Step 6: what the issuer obtained."""

    request_id: RequestIdField
    revision: DigestField
    verdict: DigestField
    outcome: Literal["issued", "quarantined"]
    order_id: int
    certificate_id: int
    alternative_order_id: str
    ordered_on: date
    """The day of the intent, UTC: by it the longest validity is judged, however late the certificate comes."""
    expires_on: date
    """The last day that the CA was asked for."""
    chain: Annotated[tuple[Blob, ...], Field(min_length=1, max_length=MOST_IN_A_CHAIN)]
    """DER, leaf first."""
    policy_digest: DigestField
    csr: Annotated[Blob, Field(max_length=65_536)] | None = Field(default=None, exclude_if=is_none)
    """What was ordered with, where the issuer made the key pair: PKCS#10, DER."""


class RevocationConfirmation(Model):
    """Step 6: a person's word on one asking for the revocation of one certificate."""

    request_id: RequestIdField
    revocation_id: MessageIdField
    certificate: DigestField
    reason: RevocationReason
    confirmation: Confirmation
    approver: IdentityField
    note: DecisionNote = ""


class Revocation(Model):
    """Step 6: what the revoker revoked."""

    request_id: RequestIdField
    issuance: DigestField
    serial_number: SerialNumber
    certificate: DigestField
    reason: RevocationReason
    notes: str
    requested_by: IdentityField
    requested_at: datetime
    revoked_at: datetime
    policy_digest: DigestField
    revocation_id: MessageIdField | None = Field(default=None, exclude_if=is_none)
    proof: PossessionProof | None = Field(default=None, exclude_if=is_none)
    """By which whoever asked held the private key."""
    confirmations: Annotated[tuple[CompactJws, ...], Field(max_length=20, exclude_if=operator.not_)] = ()
    """Of the people who had to confirm it."""
    replaces: RevocationReason | None = Field(default=None, exclude_if=is_none)
    """The reason for which it was revoked before."""
    elsewhere: Annotated[bool, Field(exclude_if=operator.not_)] = False
    """Whether it was revoked at the CA before it was asked for here."""
    campaign: DigestField | None = Field(default=None, exclude_if=is_none)
    """What it was revoked together with, as two people signed it."""


class KeyBlock(Model):
    """What the revoker knows of a key: a certificate with it was reported as compromised."""

    key: DigestField
    """Of the SubjectPublicKeyInfo, DER."""
    request_id: RequestIdField
    certificate: DigestField
    reported_by: IdentityField
    reported_at: datetime
    policy_digest: DigestField


class Delivery(Model):
    """Step 6: that the issuer handed the certificate out, in which format and to whom."""

    request_id: RequestIdField
    issuance: DigestField
    format: DownloadFormat
    by: IdentityField


class Erasure(Model):
    """Step 6: that the issuer holds nothing any more of the private key that it made."""

    request_id: RequestIdField
    what: HeldKind
    why: ErasedBecause
    by: IdentityField | None = None
    """The operator who wanted it, or who downloaded it."""
    csr: DigestField
    """Of the CSR of that key, DER."""
