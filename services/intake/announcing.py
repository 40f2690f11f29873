"""Who is told what of a request: the notices and mails that follow from its news."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import structlog

from services.intake import expiry, rules, story
from services.intake.config import MailSettings
from services.intake.mail.addressing import (
    Address,
    addresses_of,
    approvers,
    each_once,
    named_addresses,
    without_editors,
)
from services.intake.mail.model import News
from services.intake.mail.queueing import TOO_MANY, added, mails_of, without_calls
from services.intake.model import RequestRecord
from shared.clock import Clock
from shared.contracts import events
from shared.contracts.notices import Awaited, CertificateExpiring, DecisionAwaited
from shared.evidence.in_force import PolicyInForce
from shared.messaging.messages import Outgoing, notify
from shared.messaging.schedule import milliseconds
from shared.vocabulary.held import ErasedBecause
from shared.vocabulary.model import Model
from shared.vocabulary.names import IdentityName
from shared.vocabulary.permissions import Permission
from shared.vocabulary.states import State

log = structlog.get_logger()

NEW_REQUEST = "a new request awaits your decision"
MOST_TOLD = 100
"""Approvers who are told of a request; the others find it in their list."""
MOST_SUBJECT = 300
"""Characters of a subject in such a notice."""
_ERASED_BECAUSE = {
    ErasedBecause.TIME: "its time was over",
    ErasedBecause.OPERATOR: "an operator has erased it",
    ErasedBecause.UNCONFIRMED: "its time was over, and it is not known whether its download arrived",
}


@dataclass(frozen=True)
class Occasion:
    """What brought the news."""

    origin: str
    """The id of the message; those of notices and mails follow from it."""
    sequence: int = 0
    """Of the happening that they tell of, if they tell of one."""


@dataclass(frozen=True)
class Announced:
    """The record with the mails to be sent, and the notices to be published with it."""

    record: RequestRecord
    notices: tuple[Outgoing, ...] = ()


@dataclass(frozen=True)
class Announcer:
    """Tells requesters and approvers; without `mailing` by notices alone.

    It writes and sends nothing: both go into the one write of the handler whose news these are.
    """

    in_force: PolicyInForce
    clock: Clock
    mailing: MailSettings | None = None
    on_given_up: Callable[[News], None] = lambda _: None
    """Called for each mail for which its request's record has no room."""

    def submitted(self, record: RequestRecord, emails: Sequence[str], occasion: Occasion) -> Announced:
        """A request came, naming these addresses; its sender is told by the answer to the submission."""
        is_refused = record.state is State.REFUSED
        became = "refused by the screening" if is_refused else "it waits for its approvers"
        notice = events.RequestNotice(
            request_id=record.id,
            state=record.state,
            message=f"submitted by {record.sender}; {became}",
            findings=record.findings if is_refused else (),
        )
        told = self._notices(record, notice, record.requesters[1:], occasion)
        if is_refused:
            return Announced(self._mailed(record, News.REFUSED, self._askers(record, emails), occasion), told)
        mailed = self._mailed(record, News.RECEIVED, self._askers(record, emails), occasion)
        awaited = self._awaited(mailed, Awaited.SUBMITTED, NEW_REQUEST, self._approvers(record), occasion)
        return Announced(awaited.record, (*told, *awaited.notices))

    def changed(
        self, before: RequestRecord, after: RequestRecord, event: events.LifecycleEvent, occasion: Occasion
    ) -> Announced:
        """Another duty told of this event, which made the one record of the other."""
        after = expiry.planned(before, after, now=self.clock.now())
        if after.state is not State.PENDING or isinstance(event, events.RequestEdited):
            after = without_calls(after)
        announced = self._told(before, after, event, occasion)
        if after.state is not State.PENDING:
            return announced
        match event:
            case events.RequestReturned() if before.state is not after.state:
                why, receivers = Awaited.RETURNED, self._approvers(after)
            case events.RequestEdited():
                why, receivers = Awaited.EDITED, [each for each in self._approvers(after) if each != event.by]
            case events.RequestReminded():
                why, receivers = Awaited.REMINDED, [each for each in self._approvers(after) if each in event.awaits]
            case _:
                return announced
        awaited = self._awaited(announced.record, why, story.describe(event), receivers, occasion)
        return Announced(awaited.record, (*announced.notices, *awaited.notices))

    def _told(
        self, before: RequestRecord, after: RequestRecord, event: events.LifecycleEvent, occasion: Occasion
    ) -> Announced:
        """The requesters' part of it, if it matters to them."""
        if isinstance(event, events.RequestEdited):
            news = News.EDITED
        elif isinstance(event, events.RevocationAsked | events.RevocationFailed):
            news = News.REVOCATION
        elif after.state is not before.state and after.state in rules.NOTICED_STATES:
            news = News(after.state)
        else:
            return Announced(after)
        notice = events.RequestNotice(
            request_id=after.id,
            state=after.state,
            message=story.describe(event),
            findings=getattr(event, "findings", ()),
            differences=getattr(event, "differences", ()),
        )
        told = self._notices(after, notice, after.requesters, occasion)
        emails = (*emails_of(before), *emails_of(after)) if news is News.EDITED else None  # who was taken out knows it
        others = self._concerned(after, event)
        addresses = (*self._askers(after, emails), *addresses_of(others, self.in_force.policy))
        return Announced(self._mailed(after, news, addresses, occasion), told)

    def _concerned(self, record: RequestRecord, event: events.LifecycleEvent) -> list[IdentityName]:
        """Who is told of a revocation too: who may revoke and, if it waits for them, who may decide."""
        if not isinstance(event, events.RevocationAsked | events.RevocationFailed | events.CertificateRevoked):
            return []
        policy = self.in_force.policy
        awaited = sorted(policy.deciders(record.approval_group)) if getattr(event, "awaits", 0) else []
        revokers = [
            name
            for name, identity in policy.file.identities.items()
            if identity.may(Permission.REVOKE, record.approval_group)
        ]
        return [*awaited, *sorted(revokers)][:MOST_TOLD]

    def erased(self, record: RequestRecord, why: ErasedBecause, occasion: Occasion) -> tuple[Outgoing, ...]:
        """The private key that the issuer made is erased, which its requesters did not bring about."""
        message = f"the private key that was made for it is erased: {_ERASED_BECAUSE[why]}"
        notice = events.RequestNotice(request_id=record.id, state=record.state, message=message)
        return self._notices(record, notice, record.requesters, occasion)

    def expiring(self, record: RequestRecord, days: int) -> Announced:
        """A certificate is about to expire: this is the warning of so many days before."""
        if record.serial_number is None or record.not_after is None:
            raise ValueError("only what is issued can expire")
        occasion = Occasion(f"{record.id}/{record.serial_number}/expiring/{days}")
        notice = CertificateExpiring(
            request_id=record.id,
            name=record.name,
            serial_number=record.serial_number,
            not_after=record.not_after,
            days=days,
        )
        told = self._notices(record, notice, record.requesters, occasion)
        return Announced(self._mailed(record, News.EXPIRING, self._askers(record), occasion), told)

    def _awaited(
        self,
        record: RequestRecord,
        why: Awaited,
        message: str,
        receivers: Sequence[IdentityName],
        occasion: Occasion,
    ) -> Announced:
        """The decision of these identities is awaited; a record keeps what each of them is told."""
        receivers = receivers[:MOST_TOLD]
        notice = DecisionAwaited(
            request_id=record.id,
            approval_group=record.approval_group,
            name=record.name,
            subject=record.subject[:MOST_SUBJECT],
            requesters=record.requesters,
            why=why,
            message=message,
        )
        news = News.REMINDER if why is Awaited.REMINDED else News.PENDING
        mailed = self._mailed(record, news, addresses_of(receivers, self.in_force.policy), occasion)
        return Announced(mailed, self._notices(record, notice, receivers, occasion))

    def _approvers(self, record: RequestRecord) -> list[IdentityName]:
        policy = self.in_force.policy
        deciders = approvers(record.approval_group, record.requesters, policy)
        if record.evidence is None:
            return deciders
        return without_editors(deciders, story.revision_in_force(record.evidence), policy)

    def _askers(self, record: RequestRecord, emails: Sequence[str] | None = None) -> Iterator[Address]:
        """The requesters' addresses, and those that the request names: by its latest revision unless given."""
        yield from addresses_of(record.requesters, self.in_force.policy)
        if self.mailing is not None:
            yield from named_addresses(emails_of(record) if emails is None else emails, self.mailing.request_domains)

    def _mailed(
        self, record: RequestRecord, news: News, addresses: Iterable[Address], occasion: Occasion
    ) -> RequestRecord:
        if self.mailing is None:
            return record
        now_ms = milliseconds(self.clock.now().timestamp())
        mails = mails_of(news, each_once(addresses), origin=occasion.origin, sequence=occasion.sequence, at_ms=now_ms)
        found = added(record, mails)
        for mail in found.given_up:
            self.on_given_up(mail.news)
            log.warning("mail given up", request=record.id, news=mail.news, mail=mail.id, reason=TOO_MANY)
        return found.record

    def _notices(
        self, record: RequestRecord, notice: Model, receivers: Iterable[IdentityName], occasion: Occasion
    ) -> tuple[Outgoing, ...]:
        now = self.clock.now()
        return tuple(
            notify(notice, about=record.id, origin=occasion.origin, receiver=receiver, at=now) for receiver in receivers
        )


def emails_of(record: RequestRecord) -> tuple[str, ...]:
    """The addresses that an accepted request names, by its latest revision."""
    return () if record.evidence is None else story.revision_in_force(record.evidence).emails
