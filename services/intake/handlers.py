"""Intake's handlers: one frozen dataclass for each message."""

import asyncio
from dataclasses import dataclass, replace
from datetime import date

import structlog

from services.intake import known_keys, rules, story
from services.intake.announcing import Announcer, Occasion, emails_of
from services.intake.denials import denied_request
from services.intake.edits import edited_request
from services.intake.model import KnownKey, RequestRecord
from services.intake.ports import KeyStore, PublishedKeys, RequestStore
from shared.clock import Clock
from shared.contracts import commands, events
from shared.contracts.content import RequestContent
from shared.contracts.replies import EvidenceResult, PublicationsResult, RequestsResult, SubmitResult
from shared.contracts.statement import RevisionStatement
from shared.errors import ConflictError, RefusedError
from shared.evidence.file import EvidenceFile
from shared.evidence.in_force import PolicyInForce
from shared.evidence.jws import SigningKey, Typ
from shared.evidence.revocations import read_revocation
from shared.evidence.steps import Verdict
from shared.evidence.verification import (
    VerifiedSubmission,
    read_issuance,
    verify_approval,
    verify_submission,
    verify_verdict,
)
from shared.lint.kinds import Linter
from shared.messaging.messages import (
    NOTHING,
    Outcome,
    Outgoing,
    Received,
    RefusedAndToldError,
    publish_event,
    reply_ok,
)
from shared.options import options_for
from shared.policy.policy import Policy
from shared.screening import LINT_KINDS, Screened, check_sealed, check_sender, screen, template_of
from shared.vocabulary.findings import finding, refuses
from shared.vocabulary.names import IdentityName, RequestId
from shared.vocabulary.permissions import Permission
from shared.vocabulary.reasons import RevocationReason
from shared.vocabulary.states import State

log = structlog.get_logger()


@dataclass(frozen=True)
class SubmitRequestHandler:
    """Screens a submission and passes it on to approval, or refuses it with every finding.

    A request is stored first and takes its key then, so that no key is ever taken by what was not accepted. Nothing
    is announced in between: a redelivery, or the same submission again, takes the key before anything else.
    """

    requests: RequestStore
    keys: KeyStore
    in_force: PolicyInForce
    published: PublishedKeys
    linter: Linter
    key: SigningKey
    announcer: Announcer
    clock: Clock

    async def __call__(self, message: Received[commands.SubmitRequest]) -> Outcome:
        """Handle a submission."""
        now = self.clock.now()
        policy = self.in_force.policy
        try:
            submission = verify_submission(
                message.data.submission, self.in_force.anchor, signers=(message.sender,), now=now
            )
            self._check_sender(message, submission)
        except RefusedError:
            stored = await self._accepted_before(message)
            if stored is None:
                raise
            return stored
        # RSA keys, hundreds of names and a file of keys take a while: meanwhile the event loop goes on.
        screened, template = await asyncio.to_thread(self._screened, submission.content, policy, now.date())
        its_own = screened.csr if submission.content.generated is None else None
        key = None if its_own is None else await self.keys.load(its_own.spki_sha256)
        requesters = rules.requesters_of(submission.content, message.sender)
        found = known_keys.check_known_key(key, requesters, policy)
        screened = await self._linted(replace(screened, added=(*screened.added, *found)), template)
        record, publish = self._recorded(message, submission, screened, policy)
        announced = self.announcer.submitted(record, submission.content.emails, Occasion(message.id, record.sequence))
        publish = (*publish, *announced.notices)
        if not await self.requests.insert(announced.record.followed_by(message.id, *publish)):
            return await self._again(message, submission)
        _refuse_screened(record, announced.notices)
        await self._take_key(record, key)
        return Outcome(publish=publish)

    def _screened(self, content: RequestContent, policy: Policy, today: date) -> tuple[Screened, bytes]:
        """What the rules say and what is known of the key outside; and the certificate that this would become."""
        screened = screen(content, policy, today=today)
        screened = replace(screened, added=tuple(check_sealed(content, policy)))
        if screened.csr is not None and content.generated is None:
            screened = replace(screened, added=tuple(self.published.check(screened.csr.spki)))
        if screened.proposal is None or refuses(screened.findings):
            return screened, b""
        signing = screened.proposal.resolved.signing_certificate
        return screened, template_of(screened.proposal, policy.intermediates[signing])

    async def _linted(self, screened: Screened, template: bytes) -> Screened:
        """With what the linter says of the certificate that this would become, if it would become one."""
        if screened.proposal is None or refuses(screened.findings):
            return screened
        found = await self.linter.lint(template, LINT_KINDS[screened.proposal.resolved.trust])
        return replace(screened, added=(*screened.added, *found))

    def _check_sender(self, message: Received[commands.SubmitRequest], submission: VerifiedSubmission) -> None:
        findings = [
            *check_sender(submission.content, message.sender, self.in_force.policy),
            *rules.check_signature(submission, message.sender, self.in_force.policy),
        ]
        if message.subject != submission.content.request_id:
            findings.append(finding("message.subject-differs", "the subject is not the request's id"))
        if findings:
            raise RefusedError.of(findings)

    def _recorded(
        self,
        message: Received[commands.SubmitRequest],
        submission: VerifiedSubmission,
        screened: Screened,
        policy: Policy,
    ) -> tuple[RequestRecord, tuple[Outgoing, ...]]:
        """The new record, and what follows from it; `policy` is the one by which it was screened."""
        now = self.clock.now()
        record = rules.new_record(submission, message.sender, screened, now=now)
        if record.state is State.REFUSED:
            return record, ()
        revision = rules.first_revision(submission, record.requesters, screened, policy_digest=policy.digest)
        too_large = tuple(rules.check_size(message.data.submission, revision))
        if too_large:
            screened = replace(screened, added=(*screened.added, *too_large))
            return rules.new_record(submission, message.sender, screened, now=now), ()
        token = self.key.sign(revision.canonical(), Typ.REVISION, now)
        evidence = events.Evidence(submission=message.data.submission, revisions=(RevisionStatement(jws=token),))
        accepted = events.RequestAccepted(request_id=record.id, approval_group=record.approval_group, evidence=evidence)
        result = SubmitResult(request_id=record.id, state=record.state)
        text = "The request was accepted and waits for its approvers."
        return record.model_copy(update={"evidence": evidence}), (
            publish_event(accepted, origin=message.id, sequence=1, policy_serial=policy.serial, at=now),
            reply_ok(message, result, text, at=now),
        )

    async def _accepted_before(self, message: Received[commands.SubmitRequest]) -> Outcome | None:
        """What followed from this message under an earlier policy: that is not taken back by a redelivery."""
        known = await self.requests.load(message.subject)
        if known is None or known.sender != message.sender:
            return None
        stored = known.outcome_of(message.id)
        if stored is not None:
            await self._settle_key(known, message)
        return stored

    async def _again(self, message: Received[commands.SubmitRequest], submission: VerifiedSubmission) -> Outcome:
        """The request id is known: repeat what followed, or the answer, or refuse another content."""
        known = await self.requests.load(submission.content.request_id)
        if known is None:
            raise ConflictError("a request that was there a moment ago is gone")
        rules.same_request(known, submission, message.sender)
        _refuse_screened(known, (known.outcome_of(message.id) or NOTHING).publish)
        await self._settle_key(known, message)
        stored = known.outcome_of(message.id)
        if stored is not None:
            return stored
        result = SubmitResult(request_id=known.id, state=known.state)
        answer = reply_ok(message, result, "This request is known already.", at=self.clock.now())
        return Outcome(publish=(*rules.waiting_event(known), answer))

    async def _settle_key(self, record: RequestRecord, message: Received[commands.SubmitRequest]) -> None:
        """See to it that a stored request has its key; one that was not announced yet may still have to be refused."""
        digest = known_keys.key_of(record) if record.state is State.PENDING else None
        if digest is None:
            return
        key = await self.keys.load(digest)
        if key is not None and record.id in key.requests:
            return
        findings = list(known_keys.check_known_key(key, record.requesters, self.in_force.policy))
        if findings:
            refused = known_keys.refused_after_all(record, findings)
            announced = self.announcer.submitted(refused, emails_of(record), Occasion(record.id, record.sequence))
            told = announced.record
            if announced.notices:
                told = told.followed_by(message.id, *announced.notices)
            await self.requests.replace(told)
            raise RefusedAndToldError(findings, announced.notices)
        await self._take_key(record, key)

    async def _take_key(self, record: RequestRecord, key: KnownKey | None) -> None:
        """Note that this request has its key, of which so much is known."""
        digest = known_keys.key_of(record)
        if digest is not None:
            await _keep(self.keys, known_keys.taken(key, digest, record), new=key is None)


def _refuse_screened(record: RequestRecord, notices: tuple[Outgoing, ...]) -> None:
    """The answer to a request that did not pass the screening, however often it is submitted, and these notices."""
    if record.state is State.REFUSED:
        raise RefusedAndToldError(record.findings, notices)


@dataclass(frozen=True)
class ShowOptionsHandler:
    """Tells what an identity may pick."""

    in_force: PolicyInForce
    clock: Clock

    async def __call__(self, message: Received[commands.ShowOptions]) -> Outcome:
        """Handle the question."""
        result = options_for(message.sender, self.in_force.policy)
        return Outcome(publish=(reply_ok(message, result, "What you may pick.", at=self.clock.now()),))


@dataclass(frozen=True)
class ShowStatusHandler:
    """Tells where a request stands."""

    requests: RequestStore
    in_force: PolicyInForce
    clock: Clock

    async def __call__(self, message: Received[commands.ShowStatus]) -> Outcome:
        """Handle the question."""
        record = await _visible(self.requests, message.data.request_id, message.sender, Permission.VIEW, self.in_force)
        text = f"The request is {record.state}."
        return Outcome(publish=(reply_ok(message, rules.status_of(record, message.sender), text, at=self.clock.now()),))


@dataclass(frozen=True)
class ListRequestsHandler:
    """Lists an identity's own requests."""

    requests: RequestStore
    clock: Clock

    async def __call__(self, message: Received[commands.ListRequests]) -> Outcome:
        """Handle the question."""
        limit = message.data.limit
        found = await self.requests.of_identity(message.sender, before=message.data.before, limit=limit + 1)
        result = RequestsResult(requests=tuple(record.summary() for record in found[:limit]), more=len(found) > limit)
        return Outcome(publish=(reply_ok(message, result, f"{len(result.requests)} requests.", at=self.clock.now()),))


@dataclass(frozen=True)
class ListPublicationsHandler:
    """Tells an auditor what was published of orders, so that somebody else can compare it with what the CA has."""

    requests: RequestStore
    in_force: PolicyInForce
    clock: Clock

    async def __call__(self, message: Received[commands.ListPublications]) -> Outcome:
        """Handle the question."""
        ask = message.data
        groups = tuple(self.in_force.policy.groups_of(message.sender, Permission.AUDIT))
        if not groups:
            raise RefusedError(finding("identity.not-permitted", "you may not audit any group"))
        found = await self.requests.of_groups(groups, after=ask.after, limit=ask.limit + 1)
        shown = rules.publications_of(found[: ask.limit])
        result = PublicationsResult(
            publications=shown,
            more=len(found) > len(shown),
            groups=groups,
            complete=not await self.requests.has_beside(groups),
        )
        text = f"What was published of {len(shown)} requests."
        return Outcome(publish=(reply_ok(message, result, text, at=self.clock.now()),))


@dataclass(frozen=True)
class ExportEvidenceHandler:
    """Hands out the signed chain of a request."""

    requests: RequestStore
    in_force: PolicyInForce
    clock: Clock

    async def __call__(self, message: Received[commands.ExportEvidence]) -> Outcome:
        """Handle the question."""
        record = await _visible(self.requests, message.data.request_id, message.sender, Permission.AUDIT, self.in_force)
        if record.evidence is None:
            raise RefusedError(finding("evidence.none", "a refused request has no evidence: nothing was signed"))
        rules.check_export(record, message.sender, self.in_force.policy)
        file = EvidenceFile(request_id=record.id, evidence=record.evidence)
        result = EvidenceResult(request_id=record.id, evidence=file.canonical().decode())
        return Outcome(publish=(reply_ok(message, result, "The evidence so far.", at=self.clock.now()),))


@dataclass(frozen=True)
class LifecycleHandler:
    """Keeps the requester's view of a request up to date and tells the requesters what matters.

    The key of a certificate that was revoked because of it is remembered before the request is written: a redelivery
    finds neither or remembers it again.
    """

    requests: RequestStore
    keys: KeyStore
    in_force: PolicyInForce
    announcer: Announcer
    clock: Clock

    async def __call__(self, message: Received[events.LifecycleEvent]) -> Outcome:
        """Handle a lifecycle event of another duty."""
        record = await self.requests.load(message.data.request_id)
        if record is None or record.evidence is None:
            raise RefusedError(finding("request.unknown", "an event about a request that intake never accepted"))
        stored = record.outcome_of(message.id)
        if stored is not None:
            return stored
        self._check_proof(message, record.evidence)
        if _compromises_key(message.data):
            await self._remember_compromise(record)
        changed = story.apply_event(
            record,
            message.data,
            by=message.sender,
            sequence=message.order,
            now=self.clock.now(),
        )
        announced = self.announcer.changed(record, changed, message.data, Occasion(message.id, message.order))
        await self.requests.replace(announced.record.followed_by(message.id, *announced.notices))
        return Outcome(publish=announced.notices)

    def _check_proof(self, message: Received[events.LifecycleEvent], known: events.Evidence) -> None:
        """What a duty's word alone must not change: the evidence is verified before it is kept.

        What people decided under an older policy can't be judged by this one: approval's word is taken for it.
        """
        now, anchor = self.clock.now(), self.in_force.anchor
        is_past = message.policy_serial < self.in_force.policy.serial
        match message.data:
            case events.RequestEdited() as event:
                proven = edited_request(event, anchor, now=now, is_past=is_past)
            case events.RequestApproved() as event:
                verdict = self._verdict(event, is_past=is_past)
                if verdict.sequence != message.order:
                    raise RefusedError(finding("evidence.sequence-differs", "the verdict belongs to another event"))
                proven = verdict.request_id
            case events.CertificateIssued() | events.CertificateQuarantined() as event:
                _, issuance = read_issuance(event.issuance, anchor, now=now)
                proven = issuance.request_id
            case events.RequestDenied() as event:
                proven = denied_request(event, known, anchor, now=now, is_past=is_past)
            case events.CertificateRevoked() as event:
                revocation = read_revocation(event.revocation, anchor, now=now)
                if revocation.reason is not event.reason:
                    raise RefusedError(finding("evidence.reason-differs", "it was revoked for another reason"))
                proven = revocation.request_id
            case _:
                return
        if proven != message.data.request_id:
            raise RefusedError(finding("evidence.request-differs", "the evidence is about another request"))

    def _verdict(self, event: events.RequestApproved, *, is_past: bool) -> Verdict:
        now, anchor = self.clock.now(), self.in_force.anchor
        if is_past:
            return verify_verdict(event.evidence, anchor, now=now)
        return verify_approval(event.evidence, anchor, now=now, as_of_verdict=True).verdict

    async def _remember_compromise(self, record: RequestRecord) -> None:
        digest = known_keys.key_of(record)
        if digest is None:
            return
        key = await self.keys.load(digest)
        if key is not None and key.compromised_by is not None:
            return
        compromised = known_keys.compromised(key, digest, record)
        await _keep(self.keys, compromised, new=key is None)
        log.warning("key compromised", key=digest, request=record.id, requests=compromised.requests)


def _compromises_key(event: events.LifecycleEvent) -> bool:
    return isinstance(event, events.CertificateRevoked) and event.reason is RevocationReason.KEY_COMPROMISE


async def _keep(keys: KeyStore, key: KnownKey, *, new: bool) -> None:
    """Write what is known of a key, unless somebody else wrote it meanwhile."""
    if not new:
        await keys.replace(key)
    elif not await keys.insert(key):
        raise ConflictError(f"{key.id} was not known a moment ago")


async def _visible(
    requests: RequestStore,
    request_id: RequestId,
    sender: IdentityName,
    permission: Permission,
    in_force: PolicyInForce,
) -> RequestRecord:
    """The request, if this identity may see it; what it may not see does not exist for it."""
    record = await requests.load(request_id)
    if record is None or not rules.may_see(record, sender, permission, in_force.policy):
        raise RefusedError(finding("request.unknown", "there is no such request that you may see", value=request_id))
    return record
