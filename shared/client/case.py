"""A case as an approver is shown it: read from the very bytes that are going to be signed for."""

from dataclasses import dataclass
from datetime import datetime
from itertools import repeat

from shared.contracts.content import EditedContent
from shared.contracts.replies import CaseResult
from shared.contracts.statement import DecisionStatement
from shared.errors import RefusedError
from shared.evidence.anchor import Anchor
from shared.evidence.decisions import claimed_decision
from shared.evidence.differences import Change, changes
from shared.evidence.jws import payload_of
from shared.evidence.revisions import Link, check_step, link_of, values_of
from shared.evidence.steps import Decision, Edit, Revision
from shared.evidence.verification import read_revision, verify_decision, verify_edit
from shared.vocabulary.findings import Finding, finding
from shared.vocabulary.model import digest_of
from shared.vocabulary.names import Digest, RequestId
from shared.x509.csr import VerifiedCsr, parse_csr


@dataclass(frozen=True)
class EarlierDecision:
    """What another approver decided; `signed_at` is None where no anchor vouches for the signature."""

    decision: Decision
    signed_at: datetime | None
    applies: bool
    """Whether it is about this revision."""
    not_counting: tuple[Finding, ...] = ()
    """Why approval says that it does not count any more."""


@dataclass(frozen=True)
class ShownEdit:
    """The latest edit; `signed_at` is None where no anchor vouches for the editor's signature."""

    edit: Edit
    signed_at: datetime | None


@dataclass(frozen=True)
class ShownCase:
    """A revision with the CSR inside it, the digest of its bytes, and what was decided on it so far."""

    revision: Revision
    digest: Digest
    """Computed here, from the payload itself: what a decision signs for."""
    csr: VerifiedCsr | None
    """None where the issuer is to make the key pair."""
    signed_at: datetime | None
    """When its duty signed the revision; None where there is no anchor to verify that with."""
    decisions: tuple[EarlierDecision, ...]
    doubtful: int
    """How many decisions came with it whose signatures do not hold; they are not among `decisions`."""
    edit: ShownEdit | None = None
    """The latest edit, if anybody edited it."""
    changes: tuple[Change, ...] = ()
    """What this revision says otherwise than the one before it."""

    @property
    def editable(self) -> EditedContent:
        """What an edit says that changes nothing."""
        revision = self.revision
        return EditedContent(
            name=revision.name,
            expires_on=revision.expires_on,
            notes=revision.notes,
            emails=revision.emails,
            extension_profile=revision.policy.extension_profile,
            entered=values_of(self.edit.edit if self.edit else None),
        )


def read_case(case: CaseResult, anchor: Anchor | None, *, now: datetime) -> ShownCase:
    """What the case really holds; with an anchor, the duty's signature, the editor's and the approvers' are verified.

    The first revision is signed by intake, later ones by approval.

    Raises:
        RefusedError: `case.*` when what would be shown and what would be signed differ, `evidence.*` when its
            duty's signature does not hold, `csr.*` when the CSR is none.
    """
    payload = payload_of(case.revision.jws)
    signed_at = None
    if anchor is not None:
        signed_at = read_revision(case.revision.jws, anchor, now=now).signed_at
    revision = Revision.read(payload, code="case.unreadable")
    csr = None if revision.csr is None else parse_csr(revision.csr)
    _check(case, revision, payload, csr)
    digest = digest_of(payload)
    former = _former(case, anchor, now=now)
    edit = _edit(case, revision, anchor, now=now)
    because = (*case.not_counting, *repeat((), len(case.decisions)))
    decisions = [
        _decision(statement, why, revision.request_id, digest, anchor, now=now)
        for statement, why in zip(case.decisions, because, strict=False)
    ]
    good = tuple(decision for decision in decisions if decision is not None)
    return ShownCase(
        revision,
        digest,
        csr,
        signed_at,
        good,
        doubtful=len(decisions) - len(good),
        edit=edit,
        changes=changes(former.revision, revision) if former else (),
    )


def _former(case: CaseResult, anchor: Anchor | None, *, now: datetime) -> Link | None:
    """The revision before, if there is one: the very one that the signed bytes name, and they follow from it."""
    link = link_of(case.revision)
    if link.revision.predecessor is None:
        return None
    former = None if case.former is None else link_of(case.former)
    if case.former is None or former is None or former.digest != link.revision.predecessor:
        raise RefusedError(finding("case.former-differs", "what the revision is compared with is another one"))
    if anchor is not None:
        read_revision(case.former.jws, anchor, now=now)
    if findings := list(check_step(former, link)):
        raise RefusedError.of(findings)
    return former


def _edit(case: CaseResult, revision: Revision, anchor: Anchor | None, *, now: datetime) -> ShownEdit | None:
    if case.edit is None and revision.edit is None:
        return None
    if case.edit is None or digest_of(payload_of(case.edit.jws)) != revision.edit:
        raise RefusedError(finding("case.edit-differs", "the edit that is shown is another one"))
    edit, signed_at = Edit.read(payload_of(case.edit.jws), code="case.unreadable"), None
    if anchor is not None:
        try:
            signed_at = verify_edit(case.edit, anchor, now=now).signed_at
        except RefusedError:  # its editor may have left: what is wrong with it, approval says
            return ShownEdit(edit, None)
    return ShownEdit(edit, signed_at)


def _check(case: CaseResult, revision: Revision, payload: bytes, csr: VerifiedCsr | None) -> None:
    same = {
        "case.request-differs": (revision.request_id == case.request_id, "the revision is of another request"),
        "case.not-canonical": (revision.canonical() == payload, "the revision's bytes say more than can be shown"),
        "case.key-differs": (csr is None or csr.spki_sha256 == revision.public_key, "the key is not the CSR's"),
    }
    findings = [finding(code, message) for code, (holds, message) in same.items() if not holds]
    if findings:
        raise RefusedError.of(findings)


def _decision(
    statement: DecisionStatement,
    not_counting: tuple[Finding, ...],
    about: RequestId,
    digest: Digest,
    anchor: Anchor | None,
    *,
    now: datetime,
) -> EarlierDecision | None:
    try:
        if anchor is None:
            said, signed_at = claimed_decision(statement.jws, about)[0], None
        else:
            verified = verify_decision(statement, anchor, about=about, now=now)
            said, signed_at = verified.decision, verified.signed_at
    except RefusedError:
        return None
    return EarlierDecision(said, signed_at, applies=said.revision == digest, not_counting=not_counting)
