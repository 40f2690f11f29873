"""The mails in a request's record: pure, no I/O."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from services.intake.mail.addressing import Address
from services.intake.mail.model import Mail, News, Undelivered
from services.intake.model import RequestRecord
from shared.identifiers import following_id

MOST_WAITING = 2_000
"""Mails of one request; more than any honest life of one has."""
TOO_MANY = f"{MOST_WAITING} mails of this request wait already"
_AWAITS = frozenset({News.PENDING, News.REMINDER})
"""Of these, an address needs the latest alone."""
REMEMBERED_UNDELIVERED = 20


@dataclass(frozen=True)
class Pace:
    """How what the server puts off is tried again."""

    first_ms: int
    longest_ms: int
    tries: int

    def wait_ms(self, tries: int) -> int:
        """How long after so many tries in vain the next one comes."""
        return min(self.longest_ms, self.first_ms * (1 << min(tries - 1, 30)))


@dataclass(frozen=True)
class Delivered:
    """The server took it."""


@dataclass(frozen=True)
class PutOff:
    """The server did not take it now."""

    reason: str


@dataclass(frozen=True)
class Unwelcome:
    """The server does not take it from us, until an operator mends that."""

    reason: str


@dataclass(frozen=True)
class GivenUp:
    """The server will never take it."""

    reason: str


Result = Delivered | PutOff | Unwelcome | GivenUp


def mails_of(news: News, addresses: Iterable[Address], *, origin: str, sequence: int, at_ms: int) -> tuple[Mail, ...]:
    """One mail to each address, under an id that follows from what it is about."""
    return tuple(
        Mail(
            id=following_id(origin, f"mail/{news}/{address.text}"),
            news=news,
            to=address.text,
            is_named=address.is_named,
            at_ms=at_ms,
            sequence=sequence,
            due=at_ms,
        )
        for address in addresses
    )


def with_mails(record: RequestRecord, mails: Iterable[Mail]) -> RequestRecord:
    """The record with exactly these still to be sent."""
    kept = tuple(mails)
    return record.model_copy(
        update={
            "mails": kept,
            "due": min((mail.due for mail in kept), default=None),
            "waiting_since": min((mail.at_ms for mail in kept), default=None),
        }
    )


@dataclass(frozen=True)
class Added:
    """The record with more mails to be sent, and those for which it has no room: given up, and noted as that."""

    record: RequestRecord
    given_up: tuple[Mail, ...] = ()


def added(record: RequestRecord, mails: Iterable[Mail]) -> Added:
    """The record with these to be sent, too; a new call for a decision takes the place of older ones to its address."""
    new = tuple(mails)
    called = {mail.to for mail in new if mail.news in _AWAITS}
    kept = [mail for mail in record.mails if not (mail.news in _AWAITS and mail.to in called)]
    room = max(0, MOST_WAITING - len(kept))
    given_up = new[room:]
    lost = (Undelivered(news=mail.news, to=mail.to, at_ms=mail.at_ms, reason=TOO_MANY) for mail in given_up)
    return Added(_remembering(with_mails(record, (*kept, *new[:room])), (*record.undelivered, *lost)), given_up)


def without_calls(record: RequestRecord) -> RequestRecord:
    """The record without what still waits to call for a decision: there is none to make, or on other terms."""
    return with_mails(record, (mail for mail in record.mails if mail.news not in _AWAITS))


def _remembering(record: RequestRecord, undelivered: Iterable[Undelivered]) -> RequestRecord:
    """The record with the latest of these."""
    return record.model_copy(update={"undelivered": tuple(undelivered)[-REMEMBERED_UNDELIVERED:]})


def moved(record: RequestRecord, until: Mapping[str, int]) -> RequestRecord:
    """The record with these mails, by their ids, due at another time."""
    return with_mails(record, (mail.model_copy(update={"due": until.get(mail.id, mail.due)}) for mail in record.mails))


def noted(
    record: RequestRecord, taken: Collection[str], results: Mapping[str, Result], *, now_ms: int, pace: Pace
) -> RequestRecord:
    """The record after these mails were taken up, with what came of it; what has no result is due at once."""
    kept: list[Mail] = []
    undelivered = list(record.undelivered)
    for mail in record.mails:
        match final(mail, results.get(mail.id), pace):
            case _ if mail.id not in taken:
                kept.append(mail)
            case None:
                kept.append(mail.model_copy(update={"due": now_ms}))
            case PutOff() | Unwelcome():
                tries = mail.tries + 1
                kept.append(mail.model_copy(update={"tries": tries, "due": now_ms + pace.wait_ms(tries)}))
            case GivenUp(reason):
                undelivered.append(Undelivered(news=mail.news, to=mail.to, at_ms=now_ms, reason=reason))
            case Delivered():
                pass
    return with_mails(_remembering(record, undelivered), kept)


def final(mail: Mail, result: Result | None, pace: Pace) -> Result | None:
    """What a result means for this mail: after the last try, what is put off is given up.

    So is what the server does not take from us, if a request named the address: it may be one to which nobody may
    write. To the addresses of the policy we go on for as long as it takes.
    """
    is_bounded = isinstance(result, PutOff) or (isinstance(result, Unwelcome) and mail.is_named)
    if isinstance(result, PutOff | Unwelcome) and is_bounded and mail.tries + 1 >= pace.tries:
        return GivenUp(f"{result.reason}; given up after {mail.tries + 1} tries")
    return result
