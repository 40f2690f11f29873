"""The account of the issuer's API key in MongoDB, which all copies of the issuer share."""

from shared.digicert.quota import Account
from shared.mongo.database import Database
from shared.mongo.store import MongoStore


class MongoAccounts(MongoStore[Account]):
    """The collection `accounts`: one document for each API key."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, "accounts", Account)
