"""Campaigns as people prepare and follow them: the list in a file, what it amounts to, and when it will be done."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated

from pydantic import Field

from services.desk.exits import usage
from services.desk.render import Rows, safe
from shared.contracts.campaigns import MOST_OF_A_CAMPAIGN, Campaign, CampaignEntry, digest_of_part, parts_of
from shared.contracts.replies import CampaignResult, LiveCertificate
from shared.contracts.statement import JwsStatement
from shared.errors import RefusedError
from shared.vocabulary.findings import Finding, finding
from shared.vocabulary.model import Model
from shared.vocabulary.names import DigestField, RequestIdField

_FIELDS = {
    "group": "approval_group",
    "issuer": "issuer",
    "key": "key",
    "requester": "requester",
    "issued-after": "issued_after",
    "issued-before": "issued_before",
}
_PAIR = re.compile(rf"(?:\A|\s+)({'|'.join(_FIELDS)})=")


class CampaignFile(Model):
    """A campaign with its list, and the signatures that it has so far. None of it is believed: the revoker decides."""

    campaign: Campaign
    certificates: Annotated[tuple[CampaignEntry, ...], Field(min_length=1, max_length=MOST_OF_A_CAMPAIGN)]
    signatures: Annotated[tuple[JwsStatement, ...], Field(max_length=2)] = ()


class Counts(Model):
    """How many certificates there are, and whose."""

    count: int
    groups: dict[str, int]
    issuers: dict[str, int]
    requesters: dict[str, int]
    missing: tuple[str, ...] = ()
    """Was named and is no good certificate that one may have revoked."""

    @classmethod
    def of(cls, found: Sequence[LiveCertificate], missing: Iterable[str] = ()) -> "Counts":
        """Those of these certificates; one of several requesters counts for each."""
        return cls(
            count=len(found),
            groups=Counter(str(each.approval_group) for each in found),
            issuers=Counter(each.issuer for each in found),
            requesters=Counter(str(name) for each in found for name in each.requesters),
            missing=tuple(missing),
        )

    def rows(self) -> Rows:
        """For people."""
        kinds = (("Groups", self.groups), ("Issuers", self.issuers), ("Requesters", self.requesters))
        return [
            ("Certificates", str(self.count)),
            *((title, "\n".join(f"{counts[name]} {safe(name)}" for name in sorted(counts))) for title, counts in kinds),
        ]


class CertificateReport(Model):
    """What became of one certificate of a campaign."""

    request_id: RequestIdField
    certificate: DigestField
    result: str
    """`revoked`, `revoking`, `requested` (it waits to be confirmed), `failed`, or `left-out`."""
    ended_at: datetime | None = None
    findings: tuple[Finding, ...] = ()


def query_of(text: str) -> dict[str, object] | None:
    """What `field=value` pairs ask the revoker for; None if the text is not of that form.

    Raises:
        DeskError: a field is given twice, or a date is none.
    """
    if not _PAIR.match(text):
        return None
    _, *pieces = _PAIR.split(text)
    names, values = pieces[::2], pieces[1::2]
    if len(set(names)) != len(names):
        raise usage("each field of a campaign can be given once")
    return {
        _FIELDS[name]: _moment(name, value) if name.startswith("issued-") else value.strip()
        for name, value in zip(names, values, strict=True)
    }


def _moment(name: str, text: str) -> datetime:
    try:
        read = datetime.fromisoformat(text.strip())
    except ValueError:
        raise usage(f"{name} is a date such as 2027-01-31, or a moment such as 2027-01-31T12:00Z") from None
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def check_cap(count: int, cap: int) -> None:
    """See that there are not more certificates than were meant. Raises `RefusedError`."""
    if count > cap:
        text = "there are more certificates than the cap: have a look at the list"
        raise RefusedError(finding("campaign.over-cap", text, value=f"{count} > {cap}"))


def check_file(file: CampaignFile) -> None:
    """See that the list is the one that the campaign names. Raises `RefusedError`."""
    campaign, entries = file.campaign, file.certificates
    check_cap(len(entries), campaign.cap)
    ids = {entry.request_id for entry in entries}
    whole = len(ids) == len(entries) == campaign.count
    if not whole or tuple(map(digest_of_part, parts_of(entries))) != campaign.parts:
        raise RefusedError(finding("campaign.list-differs", "the file's list is not the one that its campaign names"))


def check_found(file: CampaignFile, found: Sequence[LiveCertificate]) -> None:
    """See that the revoker knows exactly these certificates, of exactly these groups. Raises `RefusedError`."""
    known = {each.request_id: each.certificate for each in found}
    other = [entry.request_id for entry in file.certificates if known.get(entry.request_id) != entry.certificate]
    if other:
        text = "not its certificate, not good any more, or not one that you may have revoked: make the list again"
        raise RefusedError.of([finding("campaign.list-differs", text, value=name) for name in other[:10]])
    groups = {each.approval_group for each in found}
    if groups != set(file.campaign.groups):
        text = "the certificates are of other groups than the campaign says"
        raise RefusedError(finding("campaign.list-differs", text, value=", ".join(sorted(groups))))


def finish(first: tuple[datetime, int], last: tuple[datetime, int], still: int) -> datetime | None:
    """When `still` more are done, at the pace between two looks, which say how many were; None if nobody can say."""
    (began, before), (now, after) = first, last
    if after <= before or now <= began:
        return None
    return now + (now - began) / (after - before) * still


def progress_line(seen: CampaignResult, done_at: datetime | None) -> str:
    """How far it has come, in one line."""
    left_out = seen.count - seen.requested - seen.revoking - seen.revoked - seen.failed
    said = f"{seen.revoked} of {seen.count} revoked, {seen.revoking} under way, {seen.requested} wait to be confirmed"
    said += f", {seen.failed} failed, {left_out} left out or not sent; "
    deadline = f"the deadline is {seen.deadline:%Y-%m-%d %H:%M} UTC"
    if not seen.requested + seen.revoking:
        return f"{said}nothing is open; {deadline}"
    if done_at is None:
        return f"{said}no pace yet; {deadline}"
    late = " LATE:" if done_at > seen.deadline else ""
    return f"{said}done by about {done_at:%Y-%m-%d %H:%M} UTC;{late} {deadline}"
