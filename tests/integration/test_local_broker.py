"""The private RabbitMQ node."""

import asyncio
import stat
from pathlib import Path

import aio_pika
import httpx
import pytest
from aiormq.exceptions import ChannelAccessRefused

from deploy.local.broker import BrokerNode
from deploy.local.ports import free_ports
from deploy.local.process import LocalStackError, wait_until
from shared.rabbit.topology import HOLD_MS
from tests.infrastructure import VirtualHost

QUEUE = "kept"
QUORUM_QUEUE = {"durable": True, "auto_delete": False, "arguments": {"x-queue-type": "quorum"}}
LOOPBACK_ADDRESSES = {"0100007F", "00000000000000000000000001000000"}
LISTENING = "0A"


def listening_addresses(pid: int) -> set[tuple[str, int]]:
    """What a process listens on, as the kernel tells: address in hexadecimal, port."""
    inodes = set()
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        try:
            inodes.add(str(handle.readlink()))
        except FileNotFoundError:  # closed while we look
            continue
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING and f"socket:[{fields[9]}]" in inodes:
                address, port = fields[1].split(":")
                found.add((address, int(port, 16)))
    return found


def declare(node: BrokerNode) -> None:
    with node.management() as management:
        management.apply_definitions({"queues": [{"vhost": "/", "name": QUEUE, **QUORUM_QUEUE}]})


async def publish(node: BrokerNode, *bodies: str) -> None:
    async with await aio_pika.connect(node.amqp_url("/")) as connection, asyncio.timeout(30):
        channel = await connection.channel(on_return_raises=True)
        for body in bodies:
            await channel.default_exchange.publish(aio_pika.Message(body.encode()), routing_key=QUEUE)


async def consume(node: BrokerNode, count: int) -> list[str]:
    async with await aio_pika.connect(node.amqp_url("/")) as connection, asyncio.timeout(30):
        channel = await connection.channel()
        queue = await channel.get_queue(QUEUE)
        bodies = []
        async with queue.iterator() as messages:
            async for message in messages:
                await message.ack()
                bodies.append(message.body.decode())
                if len(bodies) == count:
                    break
        return bodies


async def test_a_killed_node_comes_back_on_the_same_ports_with_what_it_had_confirmed(
    own_broker: BrokerNode,
) -> None:
    own_broker.start()
    ports, process = own_broker.ports, own_broker.beam
    assert process is not None
    declare(own_broker)
    await publish(own_broker, "one", "two")
    own_broker.await_stored("/")
    own_broker.kill()
    assert not process.is_running
    assert not own_broker.is_running
    own_broker.start()
    assert own_broker.ports == ports
    with own_broker.management() as management:
        management.await_queues("/")
    assert await consume(own_broker, 2) == ["one", "two"]


async def test_a_stopped_node_comes_back_with_its_data_and_leaves_nothing_running(
    own_broker: BrokerNode,
) -> None:
    own_broker.start()
    declare(own_broker)
    await publish(own_broker, "one")
    beam = own_broker.beam
    epmd = own_broker._epmd.process
    assert beam is not None
    assert epmd is not None
    own_broker.stop()
    assert not beam.is_running
    assert not epmd.is_running
    own_broker.start()
    with own_broker.management() as management:
        management.await_queues("/")
    assert await consume(own_broker, 1) == ["one"]


def test_a_node_listens_on_the_loopback_interface_only(broker: BrokerNode) -> None:
    assert broker.beam is not None
    epmd = broker._epmd.process
    assert epmd is not None
    found = listening_addresses(broker.beam.pid) | listening_addresses(epmd.pid)
    assert {address for address, _ in found} <= LOOPBACK_ADDRESSES
    used = broker.ports
    assert {port for _, port in found} == {used.amqp, used.management, used.distribution, used.epmd}


def test_a_running_node_is_found_and_not_started_again(broker: BrokerNode) -> None:
    beam = broker.beam
    same = BrokerNode(broker.directory)
    same.start()
    assert same.beam == beam
    assert same.amqp_port == broker.amqp_port
    assert same.admin_password == broker.admin_password


def test_a_node_has_no_guest(broker: BrokerNode) -> None:
    credentials = (broker.admin_user, broker.admin_password)
    users = httpx.get(f"{broker.management_url}/api/users", auth=credentials, trust_env=False).json()
    names = {user["name"] for user in users}
    assert broker.admin_user in names
    assert "guest" not in names


def test_secrets_are_readable_by_their_owner_only(broker: BrokerNode) -> None:
    broker.password_for("anyone")
    cookie = broker.directory / "home" / ".erlang.cookie"
    secrets = [cookie, broker.directory / "definitions.json", *(broker.directory / "secrets").iterdir()]
    assert broker.admin_password_file in secrets
    assert not any(stat.S_IMODE(path.stat().st_mode) & 0o077 for path in secrets)


def test_a_port_that_was_asked_for_and_is_taken_is_refused_with_its_number(
    own_broker: BrokerNode, broker: BrokerNode
) -> None:
    node = BrokerNode(own_broker.directory, amqp_port=broker.amqp_port)
    with pytest.raises(LocalStackError, match=f"Port {broker.amqp_port}, .*amqp port, is in use"):
        node.start()
    assert not node.is_running


def test_the_ports_that_were_asked_for_are_used(own_broker: BrokerNode) -> None:
    amqp, management = free_ports(2)
    node = BrokerNode(own_broker.directory, amqp_port=amqp, management_port=management, prometheus=True)
    node.start()
    assert (node.ports.amqp, node.ports.management) == (amqp, management)
    assert "rabbitmq_identity_info" in httpx.get(node.metrics_url, trust_env=False).text


async def test_a_node_that_stands_still_answers_again_when_it_goes_on(own_broker: BrokerNode) -> None:
    own_broker.start()
    declare(own_broker)
    own_broker.pause()
    connecting = asyncio.create_task(publish(own_broker, "late"))
    done, _ = await asyncio.wait([connecting], timeout=0.3)
    assert not done
    own_broker.resume()
    await connecting
    assert await consume(own_broker, 1) == ["late"]


async def test_a_node_takes_back_what_is_held_for_longer_than_it_was_told_and_counts_that_as_a_delivery(
    own_broker: BrokerNode,
) -> None:
    node = BrokerNode(own_broker.directory, hold_ms=1)
    node.start()
    declare(node)
    await publish(node, "held")
    async with await aio_pika.connect(node.amqp_url("/")) as connection, asyncio.timeout(30):
        channel, closed = await connection.channel(), asyncio.Event()
        channel.close_callbacks.add(lambda *_: closed.set())
        queue = await channel.get_queue(QUEUE)

        async def hold(_: aio_pika.abc.AbstractIncomingMessage) -> None:
            """Neither acknowledge nor reject."""

        await queue.consume(hold)
        await closed.wait()
        other = await connection.channel()
        async with (await other.get_queue(QUEUE)).iterator() as messages:
            again = await anext(messages)
            await again.ack()
    assert (again.body, again.headers["x-delivery-count"]) == (b"held", 1)


def test_a_node_lets_duties_hold_messages_for_as_long_as_their_queues_do(broker: BrokerNode) -> None:
    assert f"consumer_timeout = {HOLD_MS}" in (broker.directory / "rabbitmq.conf").read_text().splitlines()


async def test_a_connection_can_be_closed_from_the_brokers_side(virtual_host: VirtualHost) -> None:
    connection = await aio_pika.connect(virtual_host.url())
    closed = asyncio.Event()
    connection.close_callbacks.add(lambda *_: closed.set())
    with virtual_host.broker.management() as management:
        name = virtual_host.name
        (found,) = await asyncio.to_thread(
            wait_until, lambda: management.connections(name), what="no connection", limit=30
        )
        assert (found.user, found.virtual_host) == (virtual_host.broker.admin_user, name)
        management.close_connection(found.name)
    async with asyncio.timeout(30):
        await closed.wait()


def test_a_virtual_host_goes_with_its_queues(virtual_host: VirtualHost) -> None:
    queues = [{"vhost": virtual_host.name, "name": f"queue-{n}", **QUORUM_QUEUE} for n in range(5)]
    with virtual_host.broker.management() as management:
        management.apply_definitions({"queues": queues})
        assert [queue.leader is not None for queue in management.queues(virtual_host.name)] == [True] * 5
        management.delete_virtual_host(virtual_host.name)
        management.delete_virtual_host(virtual_host.name)
        assert management.queue(virtual_host.name, "queue-1") is None


def test_what_the_management_interface_refuses_is_told_in_its_own_words(virtual_host: VirtualHost) -> None:
    with (
        virtual_host.broker.management() as management,
        pytest.raises(LocalStackError, match=r"PUT /api/permissions/.*: 400 .*vhost_or_user_not_found"),
    ):
        management.grant(virtual_host.name, "nobody")


async def test_a_user_may_do_in_a_virtual_host_what_was_granted_there(virtual_host: VirtualHost) -> None:
    virtual_host.create_user("reader", read="^mine$")
    async with await aio_pika.connect(virtual_host.url("reader")) as connection, asyncio.timeout(30):
        channel = await connection.channel()
        with pytest.raises(ChannelAccessRefused):
            await channel.declare_queue("mine")
