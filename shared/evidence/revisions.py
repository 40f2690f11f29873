"""The chain of revisions as its bytes tell it: pure, and without any key.

A revision follows from the one before it as a renewal, which carries the same content over to another policy, or by an
edit. What it holds follows from the submission, the latest edit and the policy alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from shared.contracts.content import EditedContent, RequestContent
from shared.contracts.statement import RevisionStatement
from shared.evidence.jws import payload_of
from shared.evidence.steps import EDITED, RENEWABLE, Edit, Revision, outlives_an_edit
from shared.policy.composition import NOTHING_EDITED, compose
from shared.vocabulary.findings import Finding, finding
from shared.vocabulary.model import digest_of
from shared.vocabulary.names import Digest, IdentityName, PersonName
from shared.x509.csr import VerifiedCsr
from shared.x509.entered import EditedValues
from shared.x509.stand_ins import asked_with


@dataclass(frozen=True)
class Link:
    """A revision, and the edit that came with it, if it was edited: both with the digests of their very bytes."""

    revision: Revision
    digest: Digest
    edit: Edit | None
    edit_digest: Digest | None


def link_of(statement: RevisionStatement) -> Link:
    """What this says; nobody's signature is looked at.

    Raises:
        RefusedError: the revision or the edit is malformed.
    """
    payload = payload_of(statement.jws)
    revision = Revision.read(payload, code="evidence.revision-invalid")
    if statement.edit is None:
        return Link(revision, digest_of(payload), None, None)
    edited = payload_of(statement.edit.jws)
    return Link(revision, digest_of(payload), Edit.read(edited, code="edit.invalid"), digest_of(edited))


def check_chain(chain: Sequence[Link]) -> Iterator[Finding]:
    """Why these revisions don't follow from one another."""
    predecessor = None
    for number, link in enumerate(chain, start=1):
        if link.revision.number != number or link.revision.predecessor != predecessor:
            yield finding("evidence.revisions", "revisions are numbered from 1 on, and each names the one before it")
        predecessor = link.digest
    for link in chain[:1]:
        first = link.revision
        if (link.edit, first.edit, first.editors, first.editor_people) != (None, None, (), ()):
            yield finding("evidence.edit-differs", "the first revision was edited by nobody")
    for former, following in pairwise(chain):
        yield from check_step(former, following)


def check_step(former: Link, following: Link) -> Iterator[Finding]:
    """Why this can be neither a renewal nor an edit of the revision before it."""
    return _check_renewal(former, following) if following.edit is None else _check_edit(former, following)


def _check_renewal(former: Link, renewal: Link) -> Iterator[Finding]:
    for field in _changed(former.revision, renewal.revision, but=RENEWABLE):
        yield finding("evidence.renewal-differs", f"a renewal has changed {field}")
    kept = former.revision.findings
    if renewal.revision.findings[: len(kept)] != kept:
        yield finding("evidence.renewal-differs", "a renewal has left out findings of the revision before it")


def _check_edit(former: Link, edited: Link) -> Iterator[Finding]:
    edit, revision = edited.edit, edited.revision
    if edit is None or edited.edit_digest != revision.edit:
        yield finding("evidence.edit-differs", "a revision comes with another edit than it names")
        return
    if edit.request_id != revision.request_id or edit.predecessor != former.digest:
        yield finding("evidence.edit-differs", "an edit was made of another revision than the one before")
    if revision.editors != editors_after(former.revision, edit):
        yield finding("evidence.edit-differs", "a revision does not name who edited it")
    people = revision.editor_people
    if people[:-1] != former.revision.editor_people and people != former.revision.editor_people:
        yield finding("evidence.edit-differs", "a revision names other people as its editors than the one before it")
    for field in _changed(former.revision, revision, but=EDITED):
        yield finding("evidence.edit-differs", f"an edit has changed {field}")
    kept = tuple(found for found in former.revision.findings if outlives_an_edit(found))
    if revision.findings[: len(kept)] != kept:
        yield finding("evidence.edit-differs", "an edit has left out findings that it does not bear on")


def _changed(former: Revision, following: Revision, *, but: frozenset[str]) -> list[str]:
    fields = sorted(set(Revision.model_fields) - but)
    return [field for field in fields if getattr(former, field) != getattr(following, field)]


def editors_after(former: Revision, edit: Edit) -> tuple[IdentityName, ...]:
    """Who edited the request, once this edit is made."""
    return tuple(dict.fromkeys((*former.editors, edit.editor)))


def editor_people_after(former: Revision, person: PersonName) -> tuple[PersonName, ...]:
    """The people who edited the request, once this one has."""
    return tuple(dict.fromkeys((*former.editor_people, person)))


def content_after(content: RequestContent, edit: EditedContent | None) -> RequestContent:
    """What the requester asked for, with what the latest edit says in its place; the values entered aside."""
    if edit is None:
        return content
    return content.model_copy(
        update={
            "name": edit.name,
            "expires_on": edit.expires_on,
            "notes": edit.notes,
            "emails": edit.emails,
            "extension_profile": edit.extension_profile,
        }
    )


def values_of(edit: EditedContent | None) -> EditedValues:
    """What approvers have entered."""
    return NOTHING_EDITED if edit is None else edit.entered


def check_contents(chain: Sequence[Link], submitted: RequestContent) -> Iterator[Finding]:
    """Why a revision does not hold exactly what the submission, the latest edit and its policy give."""
    csr = asked_with(submitted.csr, submitted.wanted_key_type)
    edit: Edit | None = None
    for link in chain:
        edit = link.edit or edit
        yield from _check_content(link.revision, content_after(submitted, edit), csr, values_of(edit))


def _check_content(
    revision: Revision, content: RequestContent, csr: VerifiedCsr, edited: EditedValues
) -> Iterator[Finding]:
    composed = compose(csr, content.entered, revision.policy, edited)
    same = {
        "request_id": content.request_id == revision.request_id,
        "name": content.name == revision.name,
        "method": content.method == revision.method,
        "generated": content.generated == revision.generated,
        "csr": content.csr is None or (csr.der == revision.csr and csr.spki_sha256 == revision.public_key),
        "subject": composed.subject == revision.subject,
        "names": composed.names == revision.names,
        "extensions": composed.extensions == revision.extensions,
        "signing_certificate": content.signing_certificate == revision.policy.signing_certificate,
        "approval_group": content.approval_group == revision.policy.approval_group,
        "extension_profile": content.extension_profile == revision.policy.extension_profile,
        "dn_profile": content.dn_profile == revision.policy.dn_profile,
        "signature_hash": content.signature_hash in (None, revision.policy.signature_hash),
        "expires_on": content.expires_on == revision.expires_on,
        "notes": content.notes == revision.notes,
        "emails": content.emails == revision.emails,
    }
    for field, equal in same.items():
        if not equal:
            yield finding("evidence.content-differs", f"{field} is not what was asked for, or edited")
