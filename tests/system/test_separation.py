"""What a stolen credential is good for: a duty's or an identity's own part, and nothing else.

Every refusal stands beside the same call with the right credential, which works.
"""

import secrets
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import aio_pika
import httpx
import pytest
from aio_pika.abc import AbstractChannel
from aiormq.exceptions import ChannelAccessRefused
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import OperationFailure

from deploy.local.stack import Stack
from shared.mongo.schema import INDEXES
from shared.rabbit.topology import (
    COMMANDS_EXCHANGE,
    EVENTS_EXCHANGE,
    EXCHANGES,
    PARKED_EXCHANGE,
    REPLIES_EXCHANGE,
    commands_queue,
    events_queue,
    inbox_queue,
    parked_queue,
    session_queue_prefix,
    submissions_queue,
)
from shared.vocabulary.duties import Duty
from tests.system.tampering import Document, connected_as

EVENT_KEYS = {
    Duty.INTAKE: "intake.request.accepted.web",
    Duty.APPROVAL: "approval.request.approved.web",
    Duty.ISSUER: "issuer.certificate.issued.web",
    Duty.REVOKER: "revoker.certificate.revoked.web",
}
IDENTITIES = ("shop", "portal", "alice", "ben", "carol", "olga")
NOT_ALLOWED = 13
AUTHENTICATION_FAILED = 18

PAIRS = [(thief, victim) for thief in Duty for victim in Duty if thief is not victim]
another_duty = pytest.mark.parametrize(("thief", "victim"), PAIRS)
each_duty = pytest.mark.parametrize("duty", Duty)


# The broker


async def _may_publish(stack: Stack, user: str, exchange: str, key: str) -> bool:
    async def publish(channel: AbstractChannel) -> None:
        target = await channel.get_exchange(exchange, ensure=False) if exchange else channel.default_exchange
        await target.publish(aio_pika.Message(b"{}", user_id=user), key, mandatory=True)

    return await _is_allowed(stack, user, publish)


async def _may_read(stack: Stack, user: str, queue: str) -> bool:
    """Whether the broker lets this user look into a queue; who may look may consume, and the other way round."""
    looks = await _is_allowed(stack, user, lambda channel: _look_into(channel, queue))
    consumes = await _is_allowed(stack, user, lambda channel: _consume(channel, queue))
    assert looks is consumes
    return looks


async def _is_allowed(stack: Stack, user: str, attempt: Callable[[AbstractChannel], Awaitable[object]]) -> bool:
    async with connected_as(stack, user) as channel:
        try:
            await attempt(channel)
        except ChannelAccessRefused:
            return False
    return True


async def _look_into(channel: AbstractChannel, queue: str) -> None:
    """Take a message, if there is one, and put it back."""
    message = await (await channel.get_queue(queue, ensure=False)).get(fail=False)
    if message is not None:
        await message.nack(requeue=True)


async def _consume(channel: AbstractChannel, queue: str) -> None:
    found = await channel.get_queue(queue, ensure=False)
    await found.cancel(await found.consume(_leave_it))


async def _leave_it(_: object) -> None:
    """Neither acknowledged nor rejected: it stays in its queue."""


async def _may_bind(stack: Stack, user: str, exchange: str, key: str) -> bool:
    async def bind(channel: AbstractChannel) -> None:
        queue = await channel.declare_queue(session_queue_prefix(user) + secrets.token_hex(8), exclusive=True)
        await queue.bind(exchange, key)

    return await _is_allowed(stack, user, bind)


@another_duty
async def test_a_duty_cannot_publish_events_of_another(stack: Stack, thief: Duty, victim: Duty) -> None:
    assert not await _may_publish(stack, thief, EVENTS_EXCHANGE, EVENT_KEYS[victim])
    assert await _may_publish(stack, victim, EVENTS_EXCHANGE, EVENT_KEYS[victim])


@another_duty
async def test_a_duty_cannot_answer_for_another(stack: Stack, thief: Duty, victim: Duty) -> None:
    assert not await _may_publish(stack, thief, REPLIES_EXCHANGE, f"shop.{victim}.reply")
    assert await _may_publish(stack, victim, REPLIES_EXCHANGE, f"shop.{victim}.reply")


@another_duty
async def test_a_duty_cannot_put_anything_among_what_another_has_parked(
    stack: Stack, thief: Duty, victim: Duty
) -> None:
    assert not await _may_publish(stack, thief, PARKED_EXCHANGE, victim)
    assert await _may_publish(stack, victim, PARKED_EXCHANGE, victim)


@another_duty
async def test_a_duty_cannot_read_anothers_queues(stack: Stack, thief: Duty, victim: Duty) -> None:
    for queue in (events_queue(victim), commands_queue(victim), parked_queue(victim)):
        assert not await _may_read(stack, thief, queue)


@each_duty
async def test_a_duty_reads_its_own_queues(stack: Stack, duty: Duty) -> None:
    for queue in (events_queue(duty), commands_queue(duty), parked_queue(duty)):
        assert await _may_read(stack, duty, queue)


@each_duty
async def test_submissions_are_read_by_intake_alone_and_inboxes_by_no_duty(stack: Stack, duty: Duty) -> None:
    assert await _may_read(stack, duty, submissions_queue("shop")) is (duty is Duty.INTAKE)
    assert not await _may_read(stack, duty, inbox_queue("shop"))


@each_duty
async def test_a_duty_cannot_send_commands_in_nobodys_name(stack: Stack, duty: Duty) -> None:
    for name in (duty, "shop"):
        assert not await _may_publish(stack, duty, COMMANDS_EXCHANGE, f"{name}.intake.status")
    assert await _may_publish(stack, "shop", COMMANDS_EXCHANGE, "shop.intake.status")


@each_duty
async def test_a_duty_can_neither_declare_nor_delete_nor_bind_anything(stack: Stack, duty: Duty) -> None:
    own = events_queue(duty)

    async def bind(channel: AbstractChannel) -> None:
        await (await channel.get_queue(own, ensure=False)).bind(COMMANDS_EXCHANGE, "#")

    attempts: list[Callable[[AbstractChannel], Awaitable[object]]] = [
        lambda channel: channel.declare_queue("another"),
        lambda channel: channel.declare_exchange("another"),
        lambda channel: channel.queue_delete(own),
        lambda channel: channel.exchange_delete(EVENTS_EXCHANGE),
        bind,
    ]
    for attempt in attempts:
        assert not await _is_allowed(stack, duty, attempt)
    assert await _may_read(stack, duty, own)


@pytest.mark.parametrize("user", [*map(str, Duty), *IDENTITIES])
async def test_nobody_publishes_past_the_topic_permissions(stack: Stack, user: str) -> None:
    for queue in (events_queue(Duty.ISSUER), commands_queue(Duty.APPROVAL), inbox_queue("shop")):
        assert not await _may_publish(stack, user, "", queue)


@pytest.mark.parametrize("user", IDENTITIES)
async def test_an_identity_publishes_commands_only(stack: Stack, user: str) -> None:
    for exchange in set(EXCHANGES) - {COMMANDS_EXCHANGE}:
        for key in (*EVENT_KEYS.values(), f"{user}.intake.status", f"shop.{Duty.INTAKE}.reply", str(Duty.INTAKE)):
            assert not await _may_publish(stack, user, exchange, key)
    assert await _may_publish(stack, user, COMMANDS_EXCHANGE, f"{user}.intake.status")


@pytest.mark.parametrize("user", IDENTITIES)
async def test_an_identity_sends_commands_under_its_own_name_only(stack: Stack, user: str) -> None:
    for victim in set(IDENTITIES) - {user}:
        assert not await _may_publish(stack, user, COMMANDS_EXCHANGE, f"{victim}.intake.status")
    for stretched in (f"{user}.intake.status.x", f"x.{user}.intake.status", f"{user}-2.intake.status", "#"):
        assert not await _may_publish(stack, user, COMMANDS_EXCHANGE, stretched)
    assert await _may_publish(stack, user, COMMANDS_EXCHANGE, f"{user}.intake.status")


async def test_only_who_decides_can_send_a_decision_and_only_who_submits_a_submission(stack: Stack) -> None:
    for user in IDENTITIES:
        for verb in ("approve", "deny"):
            may = await _may_publish(stack, user, COMMANDS_EXCHANGE, f"{user}.approval.{verb}")
            assert may is (user in {"alice", "ben", "carol"})
        may = await _may_publish(stack, user, COMMANDS_EXCHANGE, f"{user}.intake.submit")
        assert may is (user in {"shop", "portal", "ben"})


@pytest.mark.parametrize("user", IDENTITIES)
async def test_an_identity_receives_nothing_but_its_own_replies(stack: Stack, user: str) -> None:
    victim = "shop" if user != "shop" else "alice"
    for key in (f"{victim}.#", "#", "*.intake.reply", f"{victim}.intake.reply", f"{user}", f"*.{user}.#"):
        assert not await _may_bind(stack, user, REPLIES_EXCHANGE, key)
    for exchange in set(EXCHANGES) - {REPLIES_EXCHANGE}:
        assert not await _may_bind(stack, user, exchange, f"{user}.#")
    assert await _may_bind(stack, user, REPLIES_EXCHANGE, f"{user}.#")


@pytest.mark.parametrize("user", IDENTITIES)
async def test_an_identity_reads_no_queue_but_its_own_inbox(stack: Stack, user: str) -> None:
    victim = "shop" if user != "shop" else "alice"
    for queue in (inbox_queue(victim), submissions_queue("shop"), *(events_queue(duty) for duty in Duty)):
        assert not await _may_read(stack, user, queue)
    assert await _may_read(stack, user, inbox_queue(user))


async def test_an_identity_can_neither_make_nor_touch_anothers_session(stack: Stack) -> None:
    name = session_queue_prefix("shop") + "seen"
    async with connected_as(stack, "shop") as channel:
        await channel.declare_queue(name, auto_delete=True)
        assert await _may_read(stack, "shop", name)
        assert not await _may_read(stack, "alice", name)
        assert not await _is_allowed(stack, "alice", lambda others: others.queue_delete(name))
        forged = session_queue_prefix("shop") + "forged"
        assert not await _is_allowed(stack, "alice", lambda others: others.declare_queue(forged))
        await channel.queue_delete(name)


@pytest.mark.parametrize("user", [*map(str, Duty), "olga"])
def test_the_brokers_management_is_the_administrators_alone(stack: Stack, user: str) -> None:
    url = f"{stack.broker.management_url}/api/whoami"
    password = stack.password_file(user).read_text()
    assert httpx.get(url, auth=(user, password), trust_env=False).status_code == httpx.codes.UNAUTHORIZED
    administrator = (stack.broker.admin_user, stack.broker.admin_password)
    assert httpx.get(url, auth=administrator, trust_env=False).is_success


# The database


@contextmanager
def _database_as(stack: Stack, duty: Duty, *, against: Duty | None = None) -> Iterator[MongoClient[Document]]:
    """A client with the credentials of this duty, which authenticates against its own or another's database."""
    password = (stack.directory / "secrets" / f"{duty}.database").read_text()
    with MongoClient[Document](
        stack.database.uri,
        username=str(duty),
        password=password,
        authSource=stack.databases[against or duty],
        retryWrites=False,
    ) as client:
        yield client


@contextmanager
def _not_allowed() -> Iterator[None]:
    with pytest.raises(OperationFailure) as refusal:
        yield
    assert refusal.value.code == NOT_ALLOWED


@another_duty
def test_a_duty_can_neither_read_nor_write_anothers_database(stack: Stack, thief: Duty, victim: Duty) -> None:
    collection = INDEXES[victim][0].collection

    def attempts(found: Collection[Document]) -> list[Callable[[], object]]:
        return [
            lambda: found.find_one({}),
            lambda: found.count_documents({}),
            lambda: found.insert_one({"_id": f"probe by {thief} {secrets.token_hex(8)}"}),
            lambda: found.update_one({"_id": "nothing"}, {"$set": {"a": 1}}),
        ]

    with _database_as(stack, thief) as client:
        for attempt in attempts(client[stack.databases[victim]][collection]):
            with _not_allowed():
                attempt()
    with _database_as(stack, victim) as client:
        for attempt in attempts(client[stack.databases[victim]]["probes"]):
            attempt()


@another_duty
def test_a_duty_is_nobody_in_anothers_database(stack: Stack, thief: Duty, victim: Duty) -> None:
    with _database_as(stack, thief, against=victim) as client, pytest.raises(OperationFailure) as refusal:
        client[stack.databases[victim]]["probes"].find_one({})
    assert refusal.value.code == AUTHENTICATION_FAILED


@each_duty
def test_a_duty_can_erase_nothing_and_change_no_index_even_in_its_own_database(stack: Stack, duty: Duty) -> None:
    name = stack.databases[duty]
    collection = INDEXES[duty][0].collection
    with stack.database.admin() as administrator:
        before = administrator[name][collection].index_information()
        with _database_as(stack, duty) as client:
            own: Database[Document] = client[name]
            attempts: list[Callable[[], object]] = [
                lambda: own[collection].delete_one({"_id": "nothing"}),
                lambda: own[collection].create_index("anything"),
                own[collection].drop_indexes,
                own[collection].drop,
                lambda: own[collection].rename("elsewhere"),
                lambda: client.drop_database(name),
                lambda: own.command("createUser", "friend", pwd="x", roles=[]),
                lambda: own.command("updateUser", str(duty), roles=["dbOwner"]),
                lambda: own.command("updateRole", "duty", privileges=[], roles=["dbOwner"]),
            ]
            for attempt in attempts:
                with _not_allowed():
                    attempt()
        assert administrator[name][collection].index_information() == before
        administrator[name]["probes"].create_index("anything")
        administrator[name]["probes"].drop()


def test_a_stranger_gets_into_no_database(stack: Stack) -> None:
    with MongoClient[Document](stack.database.uri) as client, _not_allowed():
        client[stack.databases[Duty.INTAKE]]["requests"].find_one({})
