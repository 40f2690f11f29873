"""Aggregates: one document each, with what follows from every message that changed it."""

from typing import Protocol, Self, TypeVar

from pydantic import Field

from shared.messaging.messages import Outcome, Outgoing
from shared.vocabulary.model import Model
from shared.vocabulary.names import MessageId

REMEMBERED_OUTCOMES = 100
"""How many handled messages an aggregate remembers; far more than a life of one has."""


class Aggregate(Model):
    """A document that changes by compare-and-set on `version`."""

    id: str
    version: int = 1
    outcomes: dict[str, Outcome] = Field(default_factory=dict)
    """Under the id of each message that changed this document: what was to be published then."""

    def outcome_of(self, message: MessageId) -> Outcome | None:
        """What followed from this message, if it was handled before."""
        return self.outcomes.get(message)

    def followed_by(self, message: MessageId, *publish: Outgoing) -> Self:
        """This document, remembering what follows from the message that changed it."""
        outcomes = {**self.outcomes, message: Outcome(publish=publish)}
        for oldest in list(outcomes)[: max(0, len(outcomes) - REMEMBERED_OUTCOMES)]:
            del outcomes[oldest]
        return self.model_copy(update={"outcomes": outcomes})


AggregateT = TypeVar("AggregateT", bound=Aggregate)


class Store(Protocol[AggregateT]):
    """Keeps aggregates of one kind; every write is one atomic document write."""

    async def insert(self, aggregate: AggregateT) -> bool:
        """Store a new one; `False`, and nothing changed, when its id is taken.

        Raises:
            UnavailableError: the database is away; the write may or may not have happened.
        """
        ...

    async def load(self, aggregate_id: str) -> AggregateT | None:
        """The aggregate as it was last written.

        Raises:
            UnavailableError: the database is away.
        """
        ...

    async def replace(self, aggregate: AggregateT) -> AggregateT:
        """Write it if its `version` is still the stored one; returns it with its new version.

        Raises:
            ConflictError: somebody else wrote it meanwhile.
            UnavailableError: the database is away; the write may or may not have happened.
        """
        ...
