"""What approval needs from the outside."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from services.approval.model import Case, KnownFacts
from shared.messaging.aggregate import Store
from shared.vocabulary.model import Model
from shared.vocabulary.names import ApprovalGroupName, IdentityField, RequestId, RequestIdField


class Line(Model):
    """Of an open case what it is looked for by."""

    id: RequestIdField
    name: str
    subject: str
    requesters: tuple[IdentityField, ...]
    accepted_at: datetime


class CaseStore(Store[Case], Protocol):
    """The cases, and those that wait for a decision."""

    async def waiting(
        self, groups: Sequence[ApprovalGroupName], *, after: RequestId | None, limit: int
    ) -> Sequence[RequestId]:
        """The ids of up to `limit` undecided cases of these groups, oldest first, as `open_for`.

        Raises:
            UnavailableError: the database is away.
        """
        ...

    async def lines(
        self, groups: Sequence[ApprovalGroupName], *, after: RequestId | None, limit: int
    ) -> Sequence[Line]:
        """The lines of the same cases.

        Raises:
            UnavailableError: the database is away.
        """
        ...

    async def of_ids(self, ids: Sequence[RequestId]) -> Sequence[Case]:
        """The cases with these ids, oldest first.

        Raises:
            UnavailableError: the database is away.
        """
        ...

    async def open_for(
        self, groups: Sequence[ApprovalGroupName], *, after: RequestId | None, limit: int
    ) -> Sequence[Case]:
        """Up to `limit` undecided cases of these groups, oldest first, younger than `after` if that is given.

        Raises:
            UnavailableError: the database is away.
        """
        ...

    async def due(self, now_ms: int, *, limit: int) -> Sequence[Case]:
        """Up to `limit` cases whose `due` is not later than `now_ms`: of each group in turn the longest due.

        Raises:
            UnavailableError: the database is away.
        """
        ...

    async def oldest(self) -> Mapping[ApprovalGroupName, datetime]:
        """Of each group with undecided cases: when the oldest of them was accepted.

        Raises:
            UnavailableError: the database is away.
        """
        ...


class FactsStore(Store[KnownFacts], Protocol):
    """What the issuer told of each signing certificate."""
