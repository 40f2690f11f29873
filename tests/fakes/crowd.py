"""A database with very many requests in it, put there past the duties, as they would have left it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from pymongo.database import Database

from services.approval.model import Case
from services.intake.model import RequestRecord
from services.intake.tally import Tally
from shared.contracts.events import Evidence
from shared.vocabulary.names import ApprovalGroupName
from shared.vocabulary.states import FINAL_STATES, State
from tests import world
from tests.fakes.samples import sample_aggregates

Document = dict[str, Any]

AT_ONCE = 2_000
CLOSED = sorted(FINAL_STATES)


@dataclass(frozen=True)
class Crowd:
    """So many requests, in turn of these groups; their ids are in the order in which they came."""

    groups: Sequence[ApprovalGroupName]
    closed: int
    pending: int
    first: int = 0
    """How many there are already."""

    def settle(self, intake: Database[Document], approval: Database[Document]) -> None:
        """Put them into both databases, tallied."""
        _insert(intake, "requests", self._records())
        _insert(approval, "cases", self._cases())
        for group in self.groups:
            self._tally(intake, group)

    def _states(self) -> Iterator[tuple[int, State]]:
        """The pending ones are spread among the others."""
        whole = self.closed + self.pending
        for number in range(whole):
            before, after = number * self.pending // whole, (number + 1) * self.pending // whole
            yield self.first + number, State.PENDING if after > before else CLOSED[number % len(CLOSED)]

    def _group(self, number: int) -> ApprovalGroupName:
        return self.groups[(number // 7) % len(self.groups)]

    def _records(self) -> Iterator[Document]:
        """What nobody reads of them here is left out: it would only take time to write."""
        sample = sample_aggregates()[RequestRecord].model_dump(mode="json")
        slim = {name: sample[name] for name in ("sender", "requesters", "listed_for", "name", "subject")}
        for number, state in self._states():
            group = self._group(number)
            counted = {"tallied": state, "tally": 1, "untallied": None}
            yield slim | counted | {"_id": _id(number), "version": 1, "state": state, "approval_group": group}

    def _cases(self) -> Iterator[Document]:
        """The open ones are whole, the others as the requests."""
        begun = world.accepted()
        evidence = Evidence(submission=begun.evidence.submission, revisions=begun.evidence.revisions)
        sample = sample_aggregates()[Case].model_dump(mode="json", exclude={"id"})
        slim = {name: sample[name] for name in ("requesters", "name", "subject", "accepted_at", "changed_at")}
        empty: dict[str, object] = {
            "outcomes": {},
            "unpublished": [],
            "held_because": [],
            "returned_because": [],
            "deciders": [],
        }
        known = {"version": 1, "policy_serial": 1, "timed_by": 1, "due": None, "revision": begun.digest}
        whole = sample | empty | known | {"evidence": evidence.model_dump(mode="json")}
        for number, state in self._states():
            group, is_open = self._group(number), state is State.PENDING
            about = {
                "_id": _id(number),
                "state": state,
                "approval_group": group,
                "open_for": group if is_open else None,
            }
            yield (whole if is_open else slim) | about

    def _tally(self, intake: Database[Document], group: ApprovalGroupName) -> None:
        known = intake["tallies"].find_one({"_id": group})
        counts: dict[str, int] = {} if known is None else known["counts"]
        for number, state in self._states():
            if self._group(number) == group:
                counts[state] = counts.get(state, 0) + 1
        tally = Tally(id=group, version=1, counts={}, number=1, begun=1, complete=True).model_dump(
            mode="json", exclude={"id"}
        )
        intake["tallies"].replace_one({"_id": group}, tally | {"counts": counts}, upsert=True)


def _id(number: int) -> str:
    """A UUIDv7 of a moment of its own."""
    return f"0190a0c0-{number // 1000:04x}-7000-8000-{number:012x}"


def _insert(database: Database[Document], collection: str, documents: Iterator[Document]) -> None:
    while batch := list(islice(documents, AT_ONCE)):
        database[collection].insert_many(batch, ordered=False)
