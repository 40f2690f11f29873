"""The tally: how many requests of an approval group stand in which state, kept instead of counted. Pure, no I/O.

A request knows as what it is tallied, and carries a mark while it may stand elsewhere. A batch of marked requests is
counted in one write, of the group's tally alone, which keeps the batch until the next one: then each request of the
batch is told, once, that it is counted. So the tally and what waits for it give the exact numbers at any moment, and
whoever dies in between leaves behind what anybody can finish. See decision 0015.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Self

from pydantic import Field

from shared.messaging.aggregate import Aggregate
from shared.vocabulary.model import Model
from shared.vocabulary.names import ApprovalGroupField, RequestIdField
from shared.vocabulary.states import State

UNCOUNTED = 0
"""The number of the batch of a request that was never in one."""


class Standing(Model):
    """Of a request what the tally needs."""

    id: RequestIdField
    state: State
    tallied: State | None
    """As what it is counted in the tally; none if it is not."""
    tally: int
    """The number of the batch in which it was counted last."""


class Tally(Aggregate):
    """The numbers of one approval group, under its name."""

    id: ApprovalGroupField
    counts: dict[State, int] = Field(default_factory=dict)
    number: int
    """Of the batch that was counted last; a new beginning takes a number, too."""
    batch: dict[RequestIdField, State] = Field(default_factory=dict)
    """That batch: as what each request in it is counted from now on. Some may not have been told yet."""
    begun: int
    """The number of the last beginning: no request that was counted before is in these numbers."""
    complete: bool
    """Whether all requests from before the beginning are marked."""

    def counting(self, waiting: Sequence[Standing]) -> Self:
        """This tally with one more batch; every request of the batch before must have been told."""
        return self.model_copy(
            update={
                "counts": _moved(self.counts, ((each.tallied, each.state) for each in waiting)),
                "number": self.number + 1,
                "batch": {each.id: each.state for each in waiting},
            }
        )

    def begun_anew(self) -> Self:
        """This tally without any numbers: all requests are to be counted again."""
        number = self.number + 1
        return self.model_copy(update={"counts": {}, "number": number, "batch": {}, "begun": number, "complete": False})

    def with_waiting(self, waiting: Iterable[Standing]) -> dict[State, int]:
        """The numbers at this moment, for all states; `waiting` is every marked request of the group.

        With some of the marked requests only, the others are where they were counted last.
        """
        return dict.fromkeys(State, 0) | _moved(self.counts, ((self._counted_as(each), each.state) for each in waiting))

    def _counted_as(self, each: Standing) -> State | None:
        """As what this request is in the numbers, whether it was told already or not."""
        return each.tallied if each.tally >= self.number else self.batch.get(each.id, each.tallied)


def first_tally(group: ApprovalGroupField) -> Tally:
    """The tally of a group whose requests are all marked and of which none is counted."""
    number = UNCOUNTED + 1
    return Tally(id=group, number=number, begun=number, complete=True)


def _moved(counts: Mapping[State, int], moves: Iterable[tuple[State | None, State]]) -> dict[State, int]:
    moved = Counter(counts)
    for before, after in moves:
        moved[after] += 1
        if before is not None:
            moved[before] -= 1
    return dict(moved)
