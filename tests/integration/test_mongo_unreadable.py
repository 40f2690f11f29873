"""A document that cannot be read does not hold up the others."""

from services.issuer.adapters.orders import MongoOrders
from services.issuer.model import Order
from shared.config import DatabaseSettings
from shared.identifiers import new_request_id
from shared.mongo.database import Database
from shared.vocabulary.duties import Duty
from shared.vocabulary.orders import OrderState
from tests.infrastructure import DutyDatabases


async def test_due_work_beside_an_unreadable_document_is_still_found(database: DutyDatabases) -> None:
    settings = DatabaseSettings(
        uri=database.uri,
        name=database.name(Duty.ISSUER),
        user=str(Duty.ISSUER),
        password_file=database.password_file(Duty.ISSUER),
    )
    opened = Database(settings, name="unreadable", count=lambda _: None)
    try:
        orders = MongoOrders(opened)
        await opened.handle["orders"].insert_one({"_id": "broken", "due": 1, "state": "no such state"})
        good = Order(id=new_request_id(), state=OrderState.ACCEPTED, due=2)
        await orders.insert(good)
        assert [order.id for order in await orders.due(10, limit=50)] == [good.id]
    finally:
        await opened.close()
