"""Least privilege as a table: what every user may touch at the broker, and what nobody may."""

import re
from datetime import timedelta

import pytest

from shared.contracts.catalogue import COMMANDS, EVENTS, CommandContract
from shared.rabbit.topology import (
    COMMANDS_EXCHANGE,
    EVENTS_EXCHANGE,
    EXCHANGES,
    PARKED_EXCHANGE,
    REPLIES_EXCHANGE,
    Rights,
    Topology,
    build,
    command_key,
    definitions,
    event_key,
    inbox_queue,
    reply_key,
    session_queue_prefix,
    submissions_queue,
    waiting_queue,
)
from shared.vocabulary.duties import Duty
from shared.vocabulary.names import ApprovalGroupName
from tests import world
from tests.world import policy_text

WEB = ApprovalGroupName("web")
# Names that are prefixes of one another: the rights of one must never reach the other.
KIN = policy_text().replace(
    "[identities.shop]",
    '[identities.shop-2]\nkind = "system"\nmust_sign = false\npermissions.web = ["submit"]\n\n[identities.shop]',
)
TOPOLOGY = build(world.policy(KIN))
PEOPLE = sorted(world.policy(KIN).file.identities)
DUTIES = [str(duty) for duty in Duty]
RIGHTS = {rights.user: rights for rights in TOPOLOGY.rights}
OUTSIDE = ["", "amq.default", "amq.topic", "amq.direct", "amq.rabbitmq.trace", "ra", "ra.commandsx", "xra.commands"]


def holds(pattern: str, name: str) -> bool:
    """As the broker asks: unanchored, so that an anchor that is missing shows."""
    return re.search(pattern, name) is not None


def topic(rights: Rights, exchange: str, *, write: str | None = None, read: str | None = None) -> bool:
    """Whether the user may publish with, or bind, this key; the rights to the exchange itself come first."""
    right = next(each for each in rights.topics if each.exchange == exchange)
    if write is not None:
        return holds(rights.write, exchange) and holds(right.write, write)
    return holds(rights.read, exchange) and holds(right.read, read or "")


def all_queues() -> list[str]:
    return [queue.name for queue in TOPOLOGY.queues]


def queues_read_by(user: str) -> set[str]:
    return {queue for queue in all_queues() if holds(RIGHTS[user].read, queue)}


READS = {
    "intake": {"intake.events", "intake.commands", "intake.waiting", "intake.parked"}
    | {f"intake.submissions.{name}" for name in ("ben", "portal", "shop", "shop-2")},
    "approval": {"approval.events", "approval.commands", "approval.waiting", "approval.parked"},
    "issuer": {"issuer.events", "issuer.commands", "issuer.waiting", "issuer.parked"},
    "revoker": {"revoker.events", "revoker.commands", "revoker.waiting", "revoker.parked"},
} | {name: {f"inbox.{name}"} for name in PEOPLE}


@pytest.mark.parametrize("user", [*DUTIES, *PEOPLE])
def test_every_user_reads_exactly_these_queues(user: str) -> None:
    assert queues_read_by(user) == READS[user]


WRITES = {name: {EVENTS_EXCHANGE, REPLIES_EXCHANGE, PARKED_EXCHANGE} for name in DUTIES} | {
    name: {COMMANDS_EXCHANGE} for name in PEOPLE
}


@pytest.mark.parametrize("user", [*DUTIES, *PEOPLE])
def test_every_user_writes_to_exactly_these_exchanges_and_to_no_queue_of_the_topology(user: str) -> None:
    candidates = [*EXCHANGES, *OUTSIDE, *all_queues()]
    assert {name for name in candidates if holds(RIGHTS[user].write, name)} == WRITES[user]


@pytest.mark.parametrize("user", [*DUTIES, *PEOPLE])
def test_nobody_shapes_the_topology(user: str) -> None:
    for name in [*EXCHANGES, *filter(None, OUTSIDE), *all_queues(), "x"]:  # the broker asks for no empty name
        assert not holds(RIGHTS[user].configure, name)


@pytest.mark.parametrize("user", [*DUTIES, *PEOPLE])
def test_nobody_reads_the_exchange_of_commands_events_or_parked_messages(user: str) -> None:
    for exchange in (COMMANDS_EXCHANGE, EVENTS_EXCHANGE, PARKED_EXCHANGE, *OUTSIDE):
        assert not holds(RIGHTS[user].read, exchange)


@pytest.mark.parametrize("duty", DUTIES)
def test_a_duty_publishes_its_own_events_and_nobody_elses(duty: str) -> None:
    for contract in EVENTS:
        key = event_key(contract.duty, contract.key, WEB)
        assert topic(RIGHTS[duty], EVENTS_EXCHANGE, write=key) is (contract.duty == duty)
    for odd in (
        f"{duty}",
        f"{duty}.request",
        f"{duty}.request.approved",
        f"x{duty}.request.approved.web",
        f"{duty}.request.approved.web.x",
        f"{duty}x.request.approved.web",
        f"{duty}.request.approved.#",
    ):
        assert not topic(RIGHTS[duty], EVENTS_EXCHANGE, write=odd)


@pytest.mark.parametrize("duty", DUTIES)
def test_a_duty_answers_everybody_under_its_own_name_only(duty: str) -> None:
    for name in PEOPLE:
        for other in Duty:
            for kind in ("reply", "notice"):
                assert topic(RIGHTS[duty], REPLIES_EXCHANGE, write=reply_key(name, other, kind)) is (other == duty)
    for odd in (f"shop.x.{duty}.reply", f".{duty}.reply", f"shop.{duty}.", f"shop.{duty}.reply.x", f"#.{duty}.reply"):
        assert not topic(RIGHTS[duty], REPLIES_EXCHANGE, write=odd)


@pytest.mark.parametrize("duty", DUTIES)
def test_a_duty_parks_in_its_own_queue_and_sends_no_commands(duty: str) -> None:
    for other in Duty:
        for key in (str(other), waiting_queue(other)):
            assert topic(RIGHTS[duty], PARKED_EXCHANGE, write=key) is (other == duty)
    for contract in COMMANDS:
        assert not topic(RIGHTS[duty], COMMANDS_EXCHANGE, write=command_key("shop", contract.duty, contract.verb))
        assert not topic(RIGHTS[duty], COMMANDS_EXCHANGE, write=command_key(duty, contract.duty, contract.verb))


SUBMITTERS, DECIDERS, AUDITORS = {"shop", "shop-2", "portal", "ben"}, {"alice", "ben", "carol"}, {"olga"}
REVOKERS = {"olga"}


@pytest.mark.parametrize("name", PEOPLE)
def test_an_identity_sends_the_commands_it_may_under_its_own_name_only(name: str) -> None:
    for contract in COMMANDS:
        allowed = {
            "submit": name in SUBMITTERS,
            "edit": name == "carol",
            "approve": name in DECIDERS,
            "deny": name in DECIDERS,
            "confirm": name in DECIDERS,
            "campaign": name in REVOKERS,
            "certificates": name in REVOKERS,
            "settle": name in AUDITORS,
            "sealed": name in AUDITORS,
            "erase": name in AUDITORS,
            "fail": name in AUDITORS,
        }
        for sender in [*PEOPLE, *DUTIES, "nobody", ""]:
            key = command_key(sender, contract.duty, contract.verb)
            expected = sender == name and allowed.get(contract.verb, True)
            assert topic(RIGHTS[name], COMMANDS_EXCHANGE, write=key) is expected, key


@pytest.mark.parametrize("name", PEOPLE)
def test_no_key_can_be_stretched(name: str) -> None:
    for odd in (
        f"{name}",
        f"{name}.intake",
        f"{name}.intake.options.x",
        f"x.{name}.intake.options",
        f"{name}x.intake.options",
        f"{name}.x.intake.options",
        f"{name}.intake.optionsx",
        f"{name}.#",
        f"{name}-2.intake.options",
        f"{name[:-1]}.intake.options",
        f"{name}.approval.submit",
        f"{name}.issuer.approve",
        f"{name.upper()}.intake.options",
    ):
        assert not topic(RIGHTS[name], COMMANDS_EXCHANGE, write=odd), odd


@pytest.mark.parametrize("name", PEOPLE)
def test_an_identity_publishes_no_events_and_no_answers(name: str) -> None:
    for duty in Duty:
        for exchange, key in (
            (EVENTS_EXCHANGE, event_key(duty, "request.approved", WEB)),
            (REPLIES_EXCHANGE, reply_key("alice", duty, "reply")),
            (PARKED_EXCHANGE, str(duty)),
        ):
            assert not topic(RIGHTS[name], exchange, write=key)


@pytest.mark.parametrize("name", PEOPLE)
def test_an_identity_binds_its_own_answers_and_nobody_elses(name: str) -> None:
    for other in [*PEOPLE, "#", "*", "", *DUTIES]:
        assert topic(RIGHTS[name], REPLIES_EXCHANGE, read=f"{other}.#") is (other == name)
    for odd in ("#", f"{name}", f"{name}.*", f"{name}-2.#", f"{name}.#.x", "*.intake.reply", f"{name}x#"):
        assert not topic(RIGHTS[name], REPLIES_EXCHANGE, read=odd)


@pytest.mark.parametrize("name", PEOPLE)
def test_an_identity_makes_and_reads_queues_of_its_own_sessions_only(name: str) -> None:
    rights = RIGHTS[name]
    for other in PEOPLE:
        session = session_queue_prefix(other) + "0190a0c0-1111"
        for pattern in (rights.configure, rights.write, rights.read):
            assert holds(pattern, session) is (other == name)
    for odd in (
        f"session.{name}",
        f"session.{name}.",
        f"session.{name}.a.b",
        f"xsession.{name}.a",
        f"session.{name}-2.a",
        inbox_queue(name),
        submissions_queue(name),
    ):
        assert not holds(rights.configure, odd)


def test_a_name_with_special_characters_would_not_become_a_pattern() -> None:
    """The policy allows letters, digits and hyphens; a hyphen is the only one with a meaning to a pattern."""
    rights = RIGHTS["shop-2"]
    assert not topic(rights, COMMANDS_EXCHANGE, write="shop.intake.options")
    assert topic(rights, COMMANDS_EXCHANGE, write="shop-2.intake.options")
    assert not topic(RIGHTS["shop"], COMMANDS_EXCHANGE, write="shop-2.intake.options")


def test_every_user_has_rights_and_a_word_on_every_exchange() -> None:
    assert sorted(RIGHTS) == sorted([*DUTIES, *PEOPLE])
    for rights in TOPOLOGY.rights:
        assert [each.exchange for each in rights.topics] == list(EXCHANGES), "no topic right is unlimited topic right"
        for pattern in (rights.configure, rights.write, rights.read, *(each.write for each in rights.topics)):
            assert pattern.startswith("^")
            assert pattern.endswith("$")


def _taken_by(topology: Topology, exchange: str, key: str) -> set[str]:
    """The queues to which a topic exchange routes this key."""

    def takes(binding: str) -> bool:
        pattern = "".join(
            r"(?:\.[^.]+)*" if word == "#" else r"\.[^.]+" if word == "*" else rf"\.{re.escape(word)}"
            for word in binding.split(".")
        )
        return re.fullmatch(pattern, f".{key}") is not None

    return {each.queue for each in topology.bindings if each.exchange == exchange and takes(each.key)}


@pytest.mark.parametrize("contract", COMMANDS, ids=lambda contract: contract.name)
def test_every_command_goes_to_one_queue_of_its_duty_and_a_denial_to_its_witness_too(contract: CommandContract) -> None:
    queues = _taken_by(TOPOLOGY, COMMANDS_EXCHANGE, command_key("shop", contract.duty, contract.verb))
    own = "intake.submissions.shop" if contract.verb == "submit" else f"{contract.duty}.commands"
    assert queues == {own} | ({"issuer.events"} if contract.name == "ra.request.deny.v1" else set())


def test_approvals_and_denials_wait_in_the_same_queue_of_the_issuer() -> None:
    approved = _taken_by(TOPOLOGY, EVENTS_EXCHANGE, event_key(Duty.APPROVAL, "request.approved", WEB))
    denied = _taken_by(TOPOLOGY, COMMANDS_EXCHANGE, command_key("alice", Duty.APPROVAL, "deny"))
    assert "issuer.events" in approved & denied


@pytest.mark.parametrize("key", [f"{contract.duty}.{contract.key}" for contract in EVENTS])
def test_every_event_reaches_intake_or_comes_from_it(key: str) -> None:
    queues = _taken_by(TOPOLOGY, EVENTS_EXCHANGE, f"{key}.any-group")
    assert queues
    assert ("intake.events" in queues) is not key.startswith("intake.")
    assert f"{key.partition('.')[0]}.events" not in queues


def test_answers_reach_the_inbox_of_their_receiver_alone() -> None:
    for name in PEOPLE:
        queues = _taken_by(TOPOLOGY, REPLIES_EXCHANGE, reply_key(name, Duty.ISSUER, "reply"))
        assert queues == {inbox_queue(name)}


def test_what_is_the_duties_is_kept_and_what_is_an_identitys_can_block_nobody() -> None:
    for queue in TOPOLOGY.queues:
        arguments = queue.declaration
        assert arguments["x-queue-type"] == "quorum"
        if queue.name.startswith("inbox."):
            assert arguments["x-overflow"] == "drop-head"
            assert "x-max-length" in arguments
            assert "x-dead-letter-exchange" not in arguments
        else:
            assert arguments["x-delivery-limit"] == 100
            assert arguments.get("x-overflow") in {None, "reject-publish"}
        if queue.name.startswith("intake.submissions."):
            assert "x-max-length" in arguments


def test_what_a_duty_consumes_it_may_hold_for_weeks_as_what_it_waits_for_may_be_away_so_long() -> None:
    held = {
        queue.name: queue.declaration["x-consumer-timeout"] for queue in TOPOLOGY.queues if _is_consumed(queue.name)
    }
    assert {"issuer.events", "approval.commands", "intake.submissions.shop"} <= set(held)
    assert {timedelta(milliseconds=int(str(value))) for value in held.values()} == {timedelta(days=24)}


def _is_consumed(name: str) -> bool:
    return not name.startswith("inbox.") and not name.endswith(".parked")


def test_every_dead_letter_finds_the_parked_queue_of_its_duty() -> None:
    for queue in TOPOLOGY.queues:
        if "x-dead-letter-exchange" in queue.arguments:
            key = str(queue.arguments["x-dead-letter-routing-key"])
            assert queue.name.startswith(key)
            assert _taken_by(TOPOLOGY, PARKED_EXCHANGE, key) == {f"{key}.parked"}


def test_the_definitions_say_all_of_this_and_no_password() -> None:
    rendered = definitions(world.policy(KIN), virtual_host="ra", passwords={"intake": "s3cret"})
    assert "s3cret" not in repr(rendered)
    assert [user["tags"] for user in rendered["users"]] == [[]]
    assert len(rendered["permissions"]) == len(TOPOLOGY.rights)
    assert len(rendered["topic_permissions"]) == len(TOPOLOGY.rights) * len(EXCHANGES)
    assert len(rendered["queues"]) == len(TOPOLOGY.queues)
    assert len(rendered["bindings"]) == len(TOPOLOGY.bindings)
