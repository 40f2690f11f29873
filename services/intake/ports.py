"""What intake needs from the outside."""

from collections.abc import Sequence
from typing import Protocol

from services.intake.model import RequestRecord
from shared.messaging.aggregate import Store
from shared.vocabulary.names import IdentityName, RequestId


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
