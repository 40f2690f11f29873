"""What approval needs from the outside."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from services.approval.model import Case, KnownFacts
from shared.messaging.aggregate import Store
from shared.vocabulary.names import ApprovalGroupName, RequestId


class CaseStore(Store[Case], Protocol):
    """The cases, and those that wait for a decision."""

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
