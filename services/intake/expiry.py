"""When requesters are told that a certificate is about to expire: pure, no I/O."""

from datetime import datetime, timedelta

from services.intake.model import RequestRecord
from shared.messaging.schedule import milliseconds
from shared.vocabulary.states import State

WARNINGS = (30, 14, 7, 1)
"""How many days before a certificate expires its requesters are told."""


def planned(before: RequestRecord, after: RequestRecord, *, now: datetime) -> RequestRecord:
    """The record with the first warning that lies ahead, once the certificate is issued, and none without one."""
    if after.state is not State.ISSUED:
        return after.model_copy(update={"warn_due": None})
    if before.state is State.ISSUED:
        return after
    return after.model_copy(update={"warn_due": next_warning(after.not_after, now=now)})


def next_warning(not_after: datetime | None, *, now: datetime) -> int | None:
    """The first warning later than now, POSIX milliseconds, if there is one."""
    if not_after is None:
        return None
    ahead = [instant for instant in (not_after - timedelta(days=days) for days in WARNINGS) if instant > now]
    return milliseconds(min(ahead).timestamp()) if ahead else None


def warning_now(not_after: datetime | None, *, now: datetime) -> int | None:
    """Which warning holds now, by its days; of those that were missed, the nearest. None before all, and afterwards."""
    if not_after is None or not_after <= now:
        return None
    return min((days for days in WARNINGS if not_after - timedelta(days=days) <= now), default=None)
