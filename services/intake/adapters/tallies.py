"""Intake's tallies in MongoDB."""

from collections.abc import Sequence

from services.intake.tally import Tally
from shared.mongo.database import Database
from shared.mongo.store import MongoStore
from shared.vocabulary.names import ApprovalGroupName


class MongoTallies(MongoStore[Tally]):
    """The collection `tallies`: one document for each approval group."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, "tallies", Tally)

    async def of_groups(self, groups: Sequence[ApprovalGroupName]) -> Sequence[Tally]:
        """The tallies of these groups, as far as there are any."""
        return await self.find({"_id": {"$in": list(groups)}}, limit=len(groups))
