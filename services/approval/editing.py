"""Editing: what an approver makes of a pending request, screened like a submission and to be approved by others."""

import asyncio
from dataclasses import dataclass
from datetime import datetime

from services.approval import deadlines, rules
from services.approval.loading import load_case
from services.approval.model import Case
from services.approval.ports import CaseStore
from shared.clock import Clock
from shared.contracts import commands, events
from shared.contracts.events import MOST_REVISIONS, chain_fits
from shared.contracts.replies import EditResult
from shared.contracts.statement import EditStatement, RevisionStatement
from shared.errors import ConflictError, RefusedError, UnavailableError
from shared.evidence.anchor import Anchor
from shared.evidence.differences import differences
from shared.evidence.in_force import PolicyInForce
from shared.evidence.jws import SKEW, SigningKey, Typ
from shared.evidence.revisions import content_after, editor_people_after, editors_after
from shared.evidence.steps import Revision, outlives_an_edit
from shared.evidence.verification import (
    VerifiedEdit,
    VerifiedRevision,
    VerifiedSubmission,
    check_editor,
    follow_revisions,
    verify_edit,
)
from shared.lint.kinds import Linter, LintKind
from shared.messaging.messages import Outcome, Outgoing, Received, publish_event, reply_ok
from shared.policy.policy import Policy
from shared.screening import LINT_KINDS, Screened, check_sender, screen, template_of
from shared.vocabulary.findings import Finding, finding, refuses
from shared.vocabulary.names import IdentityName
from shared.vocabulary.permissions import Permission
from shared.vocabulary.states import State

SHOWN = ("name", "expires_on", "notes", "emails", "subject", "names", "extensions")
"""What of a revision an edit can change, beside the extension profile."""


@dataclass(frozen=True)
class Draft:
    """What an edit makes of a request, before the linter has seen it."""

    revision: Revision
    template: bytes
    kind: LintKind

    def linted(self, found: list[Finding]) -> Revision:
        """The revision with what the linter says.

        Raises:
            RefusedError: it finds errors.
        """
        if refuses(found):
            raise RefusedError.of(found)
        findings = dict.fromkeys((*self.revision.findings, *found))
        return self.revision.model_copy(update={"findings": tuple(findings)})


@dataclass(frozen=True)
class EditHandler:
    """Makes a new revision of a request as an approver edited it: earlier approvals are void then."""

    cases: CaseStore
    in_force: PolicyInForce
    linter: Linter
    key: SigningKey
    clock: Clock

    async def __call__(self, message: Received[commands.EditRequest]) -> Outcome:
        """Handle the edit."""
        case, stored = await load_case(self.cases, message)
        if stored is not None:
            return stored
        policy, statement = self.in_force.policy, message.data.edit
        # Keys, hundreds of names and a certificate to be linted take a while: meanwhile the event loop goes on.
        draft = await asyncio.to_thread(
            drafted, case, statement, message.sender, policy, self.in_force.anchor, now=self.clock.now()
        )
        revision = draft.linted(await self._lint(draft))
        if self.in_force.policy is not policy:
            raise ConflictError("another policy has come into force")
        check_room(case, revision, statement)
        return await self._keep(message, case, revision, policy)

    async def _lint(self, draft: Draft) -> list[Finding]:
        """What the linter says; decisions never wait for it, so that an editor has to try again while it is away."""
        try:
            return await self.linter.lint(draft.template, draft.kind)
        except UnavailableError:
            text = "what this would become can't be judged just now: try again in a moment"
            raise RefusedError(finding("edit.not-judged", text)) from None

    async def _keep(
        self, message: Received[commands.EditRequest], case: Case, revision: Revision, policy: Policy
    ) -> Outcome:
        now = self.clock.now()
        token = self.key.sign(revision.canonical(), Typ.REVISION, now)
        made = RevisionStatement(jws=token, edit=message.data.edit)
        changed = edited(case, revision, made, policy_serial=policy.serial, now=now)
        told = differences(rules.revision_in_force(case), revision)
        event = events.RequestEdited(
            request_id=case.id,
            approval_group=case.approval_group,
            by=message.sender,
            differences=told,
            evidence=changed.evidence,
        )
        result = EditResult(
            request_id=case.id,
            state=changed.state,
            number=revision.number,
            revision=changed.revision,
            differences=told,
            findings=revision.findings,
        )
        text = f"Edited: this is revision {revision.number} now, and waits for its approvers."
        follows: tuple[Outgoing, ...] = (
            publish_event(event, origin=message.id, sequence=changed.sequence, policy_serial=policy.serial, at=now),
            reply_ok(message, result, text, at=now),
        )
        await self.cases.replace(changed.followed_by(message.id, *follows))
        return Outcome(publish=follows)


# --- pure: no await, no clock, no I/O -----------------------------------------------------------------------------


def drafted(
    case: Case,
    statement: EditStatement,
    sender: IdentityName,
    policy: Policy,
    anchor: Anchor,
    *,
    now: datetime,
) -> Draft:
    """The revision that this edit makes of a case, under the policy in force.

    It is screened as if the requester had submitted it. Of the earlier findings those stay that no edit bears on.

    Raises:
        RefusedError: with every reason why the edit does not count, or what the screening has against it.
    """
    if not rules.may_see(case, sender, (Permission.EDIT, Permission.DECIDE, Permission.VIEW), policy):
        raise rules.unknown_request(case.id)
    submission, former = follow_revisions(case.evidence, anchor, now=now)
    edit = verify_edit(statement, anchor, now=now)
    person = anchor.person_of(edit.edit.editor)
    findings = [
        *_check_edit(case, edit, former, sender=sender, policy=policy, now=now),
        *check_editor(edit.edit, former.revision, anchor),
        *check_sender(submission.content, former.revision.requesters[0], policy),
    ]
    if findings or person is None:
        raise RefusedError.of(findings)
    screened = _screened(submission, former.revision, edit, policy, now=now)
    proposal = screened.proposal
    if proposal is None or refuses(screened.findings):
        raise RefusedError.of(screened.findings)
    kept = tuple(found for found in former.revision.findings if outlives_an_edit(found))
    content = content_after(submission.content, edit.edit)
    revision = former.revision.model_copy(
        update={
            "number": former.revision.number + 1,
            "predecessor": former.digest,
            "name": content.name,
            "expires_on": content.expires_on,
            "notes": content.notes,
            "emails": content.emails,
            "subject": proposal.subject,
            "names": proposal.names,
            "extensions": proposal.extensions,
            "policy": proposal.resolved,
            "policy_digest": policy.digest,
            "findings": (*kept, *(found for found in screened.findings if found not in kept)),
            "edit": edit.digest,
            "editors": editors_after(former.revision, edit.edit),
            "editor_people": editor_people_after(former.revision, person),
        }
    )
    if _says_the_same(former.revision, revision):
        raise RefusedError(finding("edit.changes-nothing", "this edit leaves the request as it is"))
    signing = proposal.resolved.signing_certificate
    return Draft(revision, template_of(proposal, policy.intermediates[signing]), LINT_KINDS[proposal.resolved.trust])


def _check_edit(
    case: Case, edit: VerifiedEdit, former: VerifiedRevision, *, sender: IdentityName, policy: Policy, now: datetime
) -> list[Finding]:
    said, until = edit.edit, deadlines.ends_at(case, policy)
    findings = []
    if case.state is not State.PENDING:
        findings.append(finding("edit.too-late", f"the request is {case.state} already", value=case.state))
    elif now >= until:
        findings.append(finding("edit.too-late", "the time to decide is over", value=until.isoformat()))
    if said.editor != sender:
        findings.append(finding("edit.foreign", "this edit was signed by somebody else", value=said.editor))
    if said.request_id != case.id or said.predecessor != former.digest:
        text = "this is an edit of another revision than the one in force; look at the request again"
        findings.append(finding("edit.outdated-revision", text, value=said.predecessor))
    elif edit.signed_at + SKEW < former.signed_at:
        findings.append(finding("edit.before-revision", "this edit is older than what it edits"))
    if policy.serial < case.policy_serial:
        text = "the request was brought under a newer policy than this copy of approval has: try again in a moment"
        findings.append(finding("edit.policy-older", text))
    return findings


def _screened(
    submission: VerifiedSubmission, former: Revision, edit: VerifiedEdit, policy: Policy, *, now: datetime
) -> Screened:
    """What intake would find of this if the requester submitted it with what approvers entered."""
    content = content_after(submission.content, edit.edit)
    content = content.model_copy(update={"signature_hash": former.policy.signature_hash})
    return screen(content, policy, today=now.date(), edited=edit.edit.entered)


def _says_the_same(former: Revision, following: Revision) -> bool:
    same_profile = former.policy.extension_profile == following.policy.extension_profile
    return same_profile and all(getattr(former, field) == getattr(following, field) for field in SHOWN)


def check_room(case: Case, revision: Revision, edit: EditStatement) -> None:
    """Check that this revision can be told in every message that carries it.

    Raises:
        RefusedError: `revision.too-many` or `edit.too-large`.
    """
    revisions = case.evidence.revisions
    if len(revisions) == MOST_REVISIONS:
        raise rules.too_often_changed(len(revisions))
    if not chain_fits(case.evidence.submission, revisions, revision, edit):
        text = "the request, with all that was edited, is larger than a message may be"
        raise RefusedError(finding("edit.too-large", text))


def edited(case: Case, revision: Revision, made: RevisionStatement, *, policy_serial: int, now: datetime) -> Case:
    """The case with this revision: whoever approved the former one must decide anew, and nothing holds it any more."""
    return rules.revised(case, revision, made, policy_serial=policy_serial, now=now).model_copy(
        update={
            "sequence": case.sequence + 1,
            "name": revision.name,
            "returned_because": (),
        }
    )
