"""The validity calendar of public TLS as data: what may be issued depends on the day of issue.

The Baseline Requirements (BR 6.3.2, ballot SC-081v3) shorten public TLS certificates in steps, and DigiCert has
maxima of its own. A request that waits across such a day is judged anew on the day of issue. Days are UTC days.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta

from shared.vocabulary.findings import Finding, Severity, finding

FORUM_DAYS: Mapping[date, int] = {
    date.min: 398,
    date(2026, 3, 15): 200,
    date(2027, 3, 15): 100,
    date(2029, 3, 15): 47,
}
"""The longest validity in days that BR 6.3.2 allows, from the day of issue on that is its key."""

DIGICERT_DAYS: Mapping[date, int] = {date.min: 397, date(2026, 2, 24): 199}
"""DigiCert's own maximum, from the day of issue on that is its key."""

CLIENT_AUTH_ENDS = date(2027, 3, 1)
"""From this day of issue on, DigiCert leaves clientAuth out of public TLS certificates."""

_SERVER, _CLIENT = "serverAuth", "clientAuth"


def longest_public_validity(issued_on: date) -> int:
    """The most days a public TLS certificate issued on this day may be valid for, by the Forum and by DigiCert.

    A day has 86,400 seconds, and the first and the last second of the validity both count (BR 6.3.2).
    """
    return min(_in_force(FORUM_DAYS, issued_on), _in_force(DIGICERT_DAYS, issued_on))


def last_day_allowed(issued_on: date) -> date:
    """The last day a public TLS certificate issued on this day may be valid on; the day of issue counts.

    From 00:00:00 of the one to 23:59:59 of the other is exactly the longest validity.
    """
    return issued_on + timedelta(days=longest_public_validity(issued_on) - 1)


def check_public_validity(not_before: datetime, not_after: datetime, *, issued_on: date) -> list[Finding]:
    """Why a public TLS certificate issued on this day may not be valid from `not_before` to `not_after`.

    Both seconds count. A CA may write a `not_before` that is earlier than the issue, or later: only the day of
    issue decides on the step.
    """
    if not_after < not_before:
        message = "a certificate cannot end before it begins"
        return [finding("validity.reversed", message, value=not_after.isoformat())]
    longest = longest_public_validity(issued_on)
    if not_after - not_before + timedelta(seconds=1) > timedelta(days=longest):
        message = f"a public TLS certificate issued on {issued_on} is valid for at most {longest} days"
        return [finding("validity.too-long", message, value=not_after.isoformat())]
    return []


def check_public_eku(ekus: Iterable[str], issued_on: date) -> list[Finding]:
    """Why a public TLS certificate issued on this day may not have these extended key usages.

    `ekus` are short names of RFC 5280 §4.2.1.12 (`serverAuth`) or dotted OIDs. BR 7.1.2.7.10 demands serverAuth
    and allows clientAuth besides, as long as the CA still issues it: until then that is a warning.
    """
    return list(_check_eku(tuple(dict.fromkeys(ekus)), issued_on))


def _check_eku(ekus: tuple[str, ...], issued_on: date) -> Iterator[Finding]:
    if _SERVER not in ekus:
        message = "a public TLS certificate must be good for serverAuth (BR 7.1.2.7.10)"
        yield finding("eku.server-auth-missing", message, value=", ".join(ekus) or "(none)")
    for purpose in ekus:
        if purpose not in (_SERVER, _CLIENT):
            message = "only serverAuth and clientAuth may stand in a public TLS certificate (BR 7.1.2.7.10)"
            yield finding("eku.not-allowed", message, value=purpose)
    if _CLIENT in ekus and issued_on >= CLIENT_AUTH_ENDS:
        message = f"since {CLIENT_AUTH_ENDS} DigiCert issues no public TLS certificates for clientAuth"
        yield finding("eku.client-auth-ended", message, value=_CLIENT)
    elif _CLIENT in ekus:
        message = f"from {CLIENT_AUTH_ENDS} on DigiCert will issue no public TLS certificates for clientAuth"
        yield finding("eku.client-auth-ends", message, value=_CLIENT, severity=Severity.WARNING)


def _in_force(steps: Mapping[date, int], day: date) -> int:
    return steps[max(since for since in steps if since <= day)]
