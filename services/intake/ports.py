"""What intake needs from the outside."""

from collections.abc import Sequence
from typing import Protocol

from services.intake.model import KnownKey, RequestRecord
from services.intake.tally import Standing, Tally
from shared.messaging.aggregate import Store
from shared.vocabulary.findings import Finding
from shared.vocabulary.names import ApprovalGroupName, IdentityName, RequestId


class RequestStore(Store[RequestRecord], Protocol):
    """The requests, and the list of each identity's."""

    async def of_identity(
        self, identity: IdentityName, *, before: RequestId | None, limit: int
    ) -> Sequence[RequestRecord]:
        """Up to `limit` requests of this identity, newest first, older than `before` if that is given.

        Raises:
            UnavailableError: the database is away.
        """
        ...

    async def of_groups(
        self, groups: Sequence[ApprovalGroupName], *, after: RequestId | None, limit: int
    ) -> Sequence[RequestRecord]:
        """Up to `limit` requests of these groups, oldest first, younger than `after` if that is given.

        Raises:
            UnavailableError: the database is away.
        """
        ...

    async def has_beside(self, groups: Sequence[ApprovalGroupName]) -> bool:
        """Whether there is a request of any other group.

        Raises:
            UnavailableError: the database is away.
        """
        ...

    async def warn_due(self, now_ms: int, *, limit: int) -> Sequence[RequestRecord]:
        """Up to `limit` requests whose requesters are to be warned by now, the longest due first.

        Raises:
            UnavailableError: the database is away.
        """
        ...


class CountedRequests(Protocol):
    """The requests as their tally sees them: every request that is written is marked if it has to be."""

    async def untallied(self, group: ApprovalGroupName, *, limit: int) -> Sequence[Standing]:
        """Up to `limit` marked requests of this group, oldest first.

        Raises:
            UnavailableError: the database is away.
        """
        ...

    async def note_tallied(self, tally: Tally) -> None:
        """Tell each request of the batch, once, as what it is counted; take its mark if it still stands there.

        Raises:
            UnavailableError: the database is away; some may have been told.
        """
        ...

    async def mark_all(self, group: ApprovalGroupName, *, begun: int) -> None:
        """Mark every request of this group that was last counted before this number, as counted nowhere.

        Raises:
            UnavailableError: the database is away; some may have been marked.
        """
        ...


class TallyStore(Store[Tally], Protocol):
    """The tallies, by approval group."""

    async def of_groups(self, groups: Sequence[ApprovalGroupName]) -> Sequence[Tally]:
        """The tallies of these groups, as far as there are any.

        Raises:
            UnavailableError: the database is away.
        """
        ...


class KeyStore(Store[KnownKey], Protocol):
    """The keys that are known already, by the digest of their SubjectPublicKeyInfo."""


class PublishedKeys(Protocol):
    """The keys whose private half is public."""

    def check(self, spki: bytes) -> list[Finding]:
        """What speaks against this key (SubjectPublicKeyInfo, DER). Reads files: not for the event loop.

        Raises:
            UnavailableError: of `blocklist`: it cannot be used.
        """
        ...
