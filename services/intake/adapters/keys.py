"""Intake's known keys in MongoDB."""

from services.intake.model import KnownKey
from shared.mongo.database import Database
from shared.mongo.store import MongoStore


class MongoKeys(MongoStore[KnownKey]):
    """The collection `keys`."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, "keys", KnownKey)
