"""Whatever comes in: it is refused in so many words, it changes nothing, and nobody after it is worse off."""

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import httpx
import pytest
from aiormq.exceptions import ChannelPreconditionFailed
from prometheus_client.parser import text_string_to_metric_families
from pymongo import MongoClient
from pymongo.collection import Collection

from deploy.local.stack import Stack
from shared.client.client import RaClient
from shared.client.errors import AccessRefusedError, CommandRefusedError
from shared.clock import SystemClock
from shared.contracts import commands
from shared.contracts.catalogue import COMMAND_OF
from shared.contracts.envelope import MAX_MESSAGE_BYTES
from shared.contracts.replies import CaseResult, DecisionResult, DownloadResult, Result
from shared.contracts.statement import JwsStatement
from shared.evidence.jws import Typ, payload_of
from shared.evidence.steps import Decision, DecisionKind
from shared.identifiers import new_message_id, new_request_id
from shared.messaging.messages import compose_command
from shared.vocabulary.duties import Duty
from shared.vocabulary.formats import DownloadFormat
from shared.vocabulary.model import Model, digest_of
from shared.vocabulary.names import Digest, IdentityName, RequestId
from shared.vocabulary.reasons import RevocationReason
from shared.vocabulary.states import State
from tests import world
from tests.infrastructure import Stacks, sandbox_of
from tests.system.tampering import Document, send
from tests.system.way import (
    People,
    approve,
    client_of,
    eventually,
    parked,
    pending_at_approval,
    people_of,
    reach,
    submitted,
)
from tests.system.wire import Wire, spoiled_signature, wire_of

REFUSALS = "ra_refusals_total"
PARKED = "ra_messages_parked_total"
COLLECTIONS = {
    Duty.INTAKE: ("requests", "keys"),
    Duty.APPROVAL: ("cases",),
    Duty.ISSUER: ("orders", "refusals"),
    Duty.REVOKER: ("certificates",),
}


def _with_another_group(policy: Document) -> Document:
    """The example's policy, and a second approval group with an approver of its own."""
    dora = {
        "kind": "person",
        "person": "dora",
        "keys": [{"kty": "OKP", "crv": "Ed25519", "x": "A" * 43}],
        "permissions": {"mail": ["decide", "view"]},
    }
    return {
        **policy,
        "approval_groups": {**policy["approval_groups"], "mail": {"quorum": 1}},
        "identities": {**policy["identities"], "dora": dora},
    }


@pytest.fixture(scope="module")
def stack(module_stacks: Stacks) -> Stack:
    return module_stacks("bad-input", amend_policy=_with_another_group)


@pytest.fixture
async def people(stack: Stack) -> AsyncIterator[People]:
    async with people_of(stack) as everybody:
        yield everybody


@pytest.fixture
async def shop(stack: Stack) -> AsyncIterator[Wire]:
    async with wire_of(stack, "shop") as wire:
        yield wire


# What has to hold after every bad input


COUNTED = frozenset({"tally", "tallied", "untallied", "version"})
"""What intake's tally changes in a request in its own time, whatever else goes on."""


@dataclass(frozen=True)
class World:
    """All that the duties and the CA hold."""

    stored: dict[tuple[Duty, str, str], Document]
    orders: int

    def without(self, duty: Duty, collection: str, document_id: str) -> "World":
        kept = {key: document for key, document in self.stored.items() if key != (duty, collection, document_id)}
        return replace(self, stored=kept)


@dataclass(frozen=True)
class Watch:
    """Sees what the duties keep, count and park."""

    stack: Stack
    people: People
    database: MongoClient[Document]
    http: httpx.Client

    @asynccontextmanager
    async def harmless(self, expected: Mapping[Duty, str], *, recorded: RequestId | None = None) -> AsyncIterator[None]:
        """What happens in here is counted by these duties under these codes, changes nothing, and hinders nobody.

        Of a request that intake's screening refuses, `recorded`, intake alone keeps that it was refused.
        """
        before, counted = self.world(), {duty: self.counted(duty, code) for duty, code in expected.items()}
        yield

        async def is_counted() -> bool:
            return all(self.counted(duty, code) > counted[duty] for duty, code in expected.items())

        await eventually(is_counted, f"not all refusals were counted: {expected}")
        after = self.world()
        if recorded is not None:
            assert after.stored[Duty.INTAKE, "requests", recorded]["state"] == State.REFUSED
            after = after.without(Duty.INTAKE, "requests", recorded)
        assert after == before
        await self.issued()

    @asynccontextmanager
    async def refused(
        self, duty: Duty, code: str, *, recorded: RequestId | None = None, witness: Duty | None = None
    ) -> AsyncIterator[None]:
        """The command sent in here is refused with exactly this code, and that is harmless."""
        expected = {duty: code} | ({witness: code} if witness else {})
        async with self.harmless(expected, recorded=recorded):
            with pytest.raises(CommandRefusedError) as refusal:
                yield
            assert [found.code for found in refusal.value.findings] == [code]
            assert all(found.message for found in refusal.value.findings)

    async def issued(self) -> RequestId:
        """A request that has gone all the way, and about which nobody does anything any more."""
        request_id = await submitted(self.people)
        await approve(self.people, request_id)
        await reach(self.people, request_id, State.ISSUED)
        await self.settled(request_id)
        return request_id

    async def settled(self, request_id: RequestId) -> None:
        """Wait until no duty has anything left to do for an issued request."""

        async def at_rest() -> bool:
            order = self._collection(Duty.ISSUER, "orders").find_one({"_id": request_id})
            certificate = self._collection(Duty.REVOKER, "certificates").find_one({"_id": request_id})
            return order is not None and not order["unpublished"] and order["due"] is None and certificate is not None

        await eventually(at_rest, "the request has not come to rest")

    def counted(self, duty: Duty, code: str) -> float:
        """How often this duty has refused something with this finding."""
        text = self.http.get(self.stack.duties[duty].metrics_url).raise_for_status().text
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        assert sum(sample.value for sample in samples if sample.name == PARKED) == 0
        return sum(sample.value for sample in samples if sample.name == REFUSALS and sample.labels["code"] == code)

    def world(self) -> World:
        stored = {
            (duty, name, document["_id"]): {key: of for key, of in document.items() if key not in COUNTED}
            for duty, names in COLLECTIONS.items()
            for name in names
            for document in self._collection(duty, name).find()
        }
        return World(stored, len(sandbox_of(self.stack).orders()))

    def _collection(self, duty: Duty, name: str) -> Collection[Document]:
        return self.database[self.stack.databases[duty]][name]


@pytest.fixture(scope="module")
def administrator(stack: Stack) -> Iterator[MongoClient[Document]]:
    with stack.database.admin() as client:
        yield client


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False) as client:
        yield client


@pytest.fixture
def watch(stack: Stack, people: People, administrator: MongoClient[Document], http: httpx.Client) -> Watch:
    return Watch(stack, people, administrator, http)


# Bytes that are no command


def _amended(**changes: object) -> Callable[[bytes], bytes]:
    """The same envelope with some of its attributes changed."""

    def amend(body: bytes) -> bytes:
        return json.dumps({**json.loads(body), **changes}).encode()

    return amend


def _with_unknown_field(body: bytes) -> bytes:
    envelope = json.loads(body)
    return json.dumps({**envelope, "data": {**envelope["data"], "sudo": True}}).encode()


def _of_next_version(body: bytes) -> bytes:
    envelope = json.loads(body)
    return json.dumps({**envelope, "type": envelope["type"].replace(".v1", ".v2")}).encode()


def _about_another_request(body: bytes) -> bytes:
    return json.dumps({**json.loads(body), "subject": new_request_id()}).encode()


NESTED = b'{"data":' + b"[" * 200_000
UNREADABLE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "no JSON": (lambda _: b"\x00\xff{", "message.not-json"),
    "nothing": (lambda _: b"", "message.not-json"),
    "deeply nested JSON": (lambda _: NESTED, "message.not-json"),
    "two mebibytes": (lambda body: body + b" " * (2 * MAX_MESSAGE_BYTES), "message.too-large"),
    "an unknown type": (_amended(type="ra.request.conjure.v1"), "message.type-unknown"),
    "an unknown version": (_of_next_version, "message.type-unknown"),
    "an unknown attribute": (_amended(sudo=True), "message.envelope-invalid"),
    "an unknown field": (_with_unknown_field, "message.invalid"),
    "another request's subject": (_about_another_request, "message.subject-differs"),
}
REQUEST = new_request_id()
STATUS = commands.ShowStatus(request_id=REQUEST)
QUESTIONS: tuple[Model, ...] = (
    STATUS,
    commands.ShowCase(request_id=REQUEST),
    commands.DownloadCertificate(request_id=REQUEST, format="pem-x509"),
    commands.RevokeCertificate(request_id=REQUEST, reason=RevocationReason.SUPERSEDED),
)
"""A command to each duty, which is spoiled before it is sent."""


def _composed(command: Model, message_id: str) -> tuple[Duty, str, bytes]:
    """A command of the shop's: to whom it goes, its routing key and its bytes."""
    contract = COMMAND_OF[type(command)]
    message = compose_command(
        command,
        contract,
        message_id=message_id,  # type: ignore[arg-type]  # it is one
        sender="shop",
        subject=getattr(command, "request_id", "shop"),
        at=SystemClock().now(),
    )
    return contract.duty, message.key, message.body.encode()


@pytest.mark.parametrize("what", UNREADABLE)
async def test_what_is_no_command_is_refused_by_every_duty_with_an_answer_to_its_sender(
    watch: Watch, shop: Wire, what: str
) -> None:
    spoil, code = UNREADABLE[what]
    async with watch.harmless(dict.fromkeys(Duty, code)):
        for question in QUESTIONS:
            message_id = new_message_id()
            duty, key, body = _composed(question, message_id)
            answer = await shop.ask(spoil(body), key, message_id=message_id)
            assert (answer.sender, answer.code, answer.findings) == (str(duty), "refused", [code])
            assert answer.envelope["data"]["message"]


@pytest.mark.parametrize("what", UNREADABLE)
async def test_what_is_no_submission_does_not_hold_up_the_submissions_behind_it(
    watch: Watch, shop: Wire, what: str
) -> None:
    spoil, code = UNREADABLE[what]
    message_id = new_message_id()
    submission = commands.SubmitRequest(submission=JwsStatement(jws="a.b.c"))
    _, key, body = _composed(submission, message_id)
    if what == "another request's subject":
        code = "evidence.malformed"  # a submission's subject is compared once its signature holds
    async with watch.harmless({Duty.INTAKE: code}):
        answer = await shop.ask(spoil(body), key, message_id=message_id)
        assert (answer.sender, answer.code, answer.findings) == (str(Duty.INTAKE), "refused", [code])


async def test_a_command_of_nobody_is_refused_by_every_duty(watch: Watch, shop: Wire) -> None:
    async with watch.harmless(dict.fromkeys(Duty, "message.sender-missing")):
        for question in QUESTIONS:
            _, key, body = _composed(question, new_message_id())
            await shop.send(body, key, user_id=None)


async def test_the_broker_takes_no_command_under_anothers_name(watch: Watch, shop: Wire) -> None:
    _, key, body = _composed(STATUS, new_message_id())
    async with watch.harmless({}):
        with pytest.raises(ChannelPreconditionFailed, match="user_id"):
            await shop.send(body, key, user_id="alice")


async def test_a_key_that_says_another_command_than_the_message_is_refused(watch: Watch, shop: Wire) -> None:
    message_id = new_message_id()
    _, _, body = _composed(STATUS, message_id)
    async with watch.harmless({Duty.INTAKE: "message.key-differs"}):
        answer = await shop.ask(body, "shop.intake.export", message_id=message_id)
        assert answer.findings == ["message.key-differs"]


async def test_an_event_of_a_duty_that_did_not_send_it_is_refused(watch: Watch) -> None:
    """The revoker may publish under its own prefix only, where the issuer's events are not believed."""
    body = json.dumps(
        {
            "specversion": "1.0",
            "id": new_message_id(),
            "source": "/duties/issuer",
            "type": "ra.certificate.issued.v1",
            "subject": REQUEST,
            "time": SystemClock().now().isoformat(),
            "datacontenttype": "application/json",
            "sequence": "3",
            "data": {},
        }
    ).encode()
    async with watch.harmless({Duty.INTAKE: "message.sender-foreign"}):
        key = "revoker.certificate.revoked.web"
        await send(watch.stack, "revoker", exchange="ra.events", key=key, body=body, user_id="revoker")


# Submissions


def _with_spoiled_signature(csr: str) -> str:
    """The same CSR with one bit of its signature turned."""
    lines = csr.strip().splitlines()
    der = bytearray(base64.b64decode("".join(lines[1:-1])))
    der[-1] ^= 1
    return "\n".join([lines[0], base64.b64encode(der).decode(), lines[-1], ""])


SCREENED: dict[str, tuple[dict[str, object], str]] = {
    "a broken CSR": (
        {"csr": "-----BEGIN CERTIFICATE REQUEST-----\nMAAA\n-----END CERTIFICATE REQUEST-----\n"},
        "csr.unreadable",
    ),
    "text for a CSR": ({"csr": "please"}, "csr.unreadable"),
    "a CSR whose signature does not verify": (
        {"csr": _with_spoiled_signature(world.make_csr())},
        "csr.signature-invalid",
    ),
    "an unknown extension profile": ({"extension_profile": "everything"}, "request.unknown-extension-profile"),
    "an unknown signing certificate": ({"signing_certificate": "vanity"}, "request.unknown-signing-certificate"),
    "an unknown DN profile": ({"dn_profile": "emperor"}, "request.unknown-dn-profile"),
}


@pytest.mark.parametrize("what", SCREENED)
async def test_a_request_that_cannot_be_issued_is_refused_with_the_reason(
    watch: Watch, people: People, what: str
) -> None:
    fields, code = SCREENED[what]
    asked = world.content().model_copy(update=fields)
    async with watch.refused(Duty.INTAKE, code, recorded=asked.request_id):
        await people.shop.submit(asked)
    with pytest.raises(CommandRefusedError) as again:
        await people.shop.submit(asked)
    assert [found.code for found in again.value.findings] == [code]
    assert (await people.shop.status(asked.request_id)).request.state is State.REFUSED


async def test_a_person_without_the_permission_cannot_even_send_a_submission(watch: Watch, people: People) -> None:
    async with watch.harmless({}):
        with pytest.raises(AccessRefusedError):
            await people.olga.submit(world.content(), sign=False)


@pytest.mark.parametrize("group", ["mail", "nowhere"])
async def test_nobody_submits_for_a_group_for_which_it_may_not(watch: Watch, people: People, group: str) -> None:
    async with watch.refused(Duty.INTAKE, "identity.not-permitted"):
        await people.portal.submit(world.content(approval_group=group), sign=False)


async def test_nobody_submits_on_behalf_of_another_without_the_permission(watch: Watch, people: People) -> None:
    async with watch.refused(Duty.INTAKE, "identity.not-permitted"):
        await people.shop.submit(world.content(on_behalf_of="ben"))


async def test_a_submission_that_had_to_be_signed_is_refused_unsigned(watch: Watch, people: People) -> None:
    async with watch.refused(Duty.INTAKE, "submission.unsigned"):
        await people.shop.submit(world.content(), sign=False)


async def test_a_submission_under_anothers_signature_is_refused(watch: Watch, people: People) -> None:
    asked = world.content()
    token = people.ben._sign(asked, Typ.SUBMISSION)
    command = commands.SubmitRequest(submission=JwsStatement(jws=token))
    async with watch.refused(Duty.INTAKE, "evidence.unknown-key"):
        await people.shop._ask(command, Result, about=asked.request_id)


async def test_a_submission_whose_signature_was_touched_is_refused(watch: Watch, people: People) -> None:
    asked = world.content()
    token = spoiled_signature(people.shop._sign(asked, Typ.SUBMISSION))
    command = commands.SubmitRequest(submission=JwsStatement(jws=token))
    async with watch.refused(Duty.INTAKE, "evidence.signature-invalid"):
        await people.shop._ask(command, Result, about=asked.request_id)


async def test_a_submission_sent_as_another_request_than_it_is_signed_for_is_refused(
    watch: Watch, people: People
) -> None:
    token = people.shop._sign(world.content(), Typ.SUBMISSION)
    command = commands.SubmitRequest(submission=JwsStatement(jws=token))
    async with watch.refused(Duty.INTAKE, "message.subject-differs"):
        await people.shop._ask(command, Result, about=new_request_id())


async def test_a_request_id_is_not_taken_again_for_another_content(watch: Watch, people: People) -> None:
    request_id = await submitted(people)
    async with watch.refused(Duty.INTAKE, "request.id-reused"):
        await people.shop.submit(world.content(request_id))


async def test_a_request_id_is_not_taken_again_by_another_identity(watch: Watch, people: People) -> None:
    asked = world.content()
    await submitted(people, asked)
    async with watch.refused(Duty.INTAKE, "request.id-reused"):
        await people.ben.submit(asked)


async def test_the_same_content_again_gets_the_same_answer_and_one_order(watch: Watch, people: People) -> None:
    asked = world.content()
    first = await people.shop.submit(asked)
    await pending_at_approval(people, asked.request_id)
    async with watch.harmless({}):
        assert await people.shop.submit(asked) == first
    orders = len(sandbox_of(watch.stack).orders())
    await approve(people, asked.request_id)
    await reach(people, asked.request_id, State.ISSUED)
    assert (await people.shop.submit(asked)).state is State.ISSUED
    await watch.settled(asked.request_id)
    assert len(sandbox_of(watch.stack).orders()) == orders + 1


# Strangers

Ask = Callable[[RaClient, RequestId], Awaitable[object]]
ABOUT_A_PENDING_ONE: dict[str, tuple[str, Duty, Ask, str]] = {
    "status": ("shop", Duty.INTAKE, lambda client, about: client.status(about), "request.unknown"),
    "show": ("shop", Duty.APPROVAL, lambda client, about: client.show_case(about), "request.unknown"),
    "withdraw": ("shop", Duty.APPROVAL, lambda client, about: client.withdraw(about), "request.unknown"),
    "withdraw by an approver": (
        "alice",
        Duty.APPROVAL,
        lambda client, about: client.withdraw(about),
        "request.unknown",
    ),
    "export": ("alice", Duty.INTAKE, lambda client, about: client.export_evidence(about), "request.unknown"),
    "list": ("shop", Duty.APPROVAL, lambda client, _: client.list_pending(), "identity.not-permitted"),
}
ABOUT_AN_ISSUED_ONE: dict[str, tuple[str, Duty, Ask, str]] = {
    "download": ("portal", Duty.ISSUER, lambda client, about: client.download(about), "request.unknown"),
    "download by an approver": (
        "alice",
        Duty.ISSUER,
        lambda client, about: client.download(about),
        "request.unknown",
    ),
    "revoke": (
        "portal",
        Duty.REVOKER,
        lambda client, about: client.revoke(about, RevocationReason.SUPERSEDED),
        "revocation.not-issued",
    ),
    "revoke by an approver": (
        "alice",
        Duty.REVOKER,
        lambda client, about: client.revoke(about, RevocationReason.SUPERSEDED),
        "revocation.not-issued",
    ),
}


@pytest.mark.parametrize("what", ABOUT_A_PENDING_ONE)
async def test_to_a_stranger_a_request_does_not_exist(watch: Watch, people: People, what: str) -> None:
    who, duty, ask, code = ABOUT_A_PENDING_ONE[what]
    asked = world.content()
    await people.ben.submit(asked)
    await pending_at_approval(people, asked.request_id)
    stranger: RaClient = getattr(people, who)
    async with watch.refused(duty, code):
        await ask(stranger, asked.request_id)


@pytest.mark.parametrize("what", ABOUT_AN_ISSUED_ONE)
async def test_to_a_stranger_a_certificate_does_not_exist(watch: Watch, people: People, what: str) -> None:
    who, duty, ask, code = ABOUT_AN_ISSUED_ONE[what]
    request_id = await watch.issued()
    stranger: RaClient = getattr(people, who)
    async with watch.refused(duty, code):
        await ask(stranger, request_id)


# Decisions


def _revision(case: CaseResult) -> Digest:
    return digest_of(payload_of(case.revision.jws))


def _decided(client: RaClient, request_id: RequestId, revision: Digest, *, by: str | None = None) -> JwsStatement:
    """This client's signature under an approval, be it in its own name or in another's."""
    said = Decision(
        request_id=request_id,
        revision=revision,
        decision=DecisionKind.APPROVE,
        approver=IdentityName(by or client.identity),
    )
    return JwsStatement(jws=client._sign(said, Typ.DECISION))


async def _send_decision(client: RaClient, request_id: RequestId, decision: JwsStatement) -> DecisionResult:
    command = commands.ApproveRequest(request_id=request_id, decision=decision)
    return await client._ask(command, DecisionResult)


async def test_who_asks_cannot_agree(watch: Watch, people: People) -> None:
    asked = world.content()
    await people.ben.submit(asked)
    await pending_at_approval(people, asked.request_id)
    async with watch.refused(Duty.APPROVAL, "decision.by-requester"):
        await people.ben.approve(await people.ben.show_case(asked.request_id))


@pytest.mark.parametrize("who", ["olga", "shop"])
async def test_who_decides_for_no_group_cannot_even_send_a_decision(watch: Watch, people: People, who: str) -> None:
    request_id = await submitted(people)
    case = await people.alice.show_case(request_id)
    stranger: RaClient = getattr(people, who)
    async with watch.harmless({}):
        with pytest.raises(AccessRefusedError):
            await _send_decision(stranger, request_id, _decided(people.shop, request_id, _revision(case), by=who))


async def test_an_approver_of_another_group_does_not_count(watch: Watch, people: People) -> None:
    request_id = await submitted(people)
    revision = _revision(await people.alice.show_case(request_id))
    async with client_of(watch.stack, "dora") as dora:
        async with watch.refused(Duty.APPROVAL, "request.unknown"):
            await dora.show_case(request_id)
        async with watch.refused(Duty.APPROVAL, "decision.not-an-approver"):
            await _send_decision(dora, request_id, _decided(dora, request_id, revision))


async def test_nobody_approves_twice(watch: Watch, people: People) -> None:
    request_id = await submitted(people)
    await approve(people, request_id, "alice")
    async with watch.refused(Duty.APPROVAL, "decision.already-made"):
        await approve(people, request_id, "alice")


async def test_a_decision_under_anothers_key_is_refused(watch: Watch, people: People) -> None:
    request_id = await submitted(people)
    revision = _revision(await people.alice.show_case(request_id))
    async with watch.refused(Duty.APPROVAL, "evidence.unknown-key"):
        await _send_decision(people.alice, request_id, _decided(people.ben, request_id, revision, by="alice"))


async def test_a_decision_whose_signature_was_touched_is_refused(watch: Watch, people: People) -> None:
    request_id = await submitted(people)
    good = _decided(people.alice, request_id, _revision(await people.alice.show_case(request_id)))
    async with watch.refused(Duty.APPROVAL, "evidence.signature-invalid"):
        await _send_decision(people.alice, request_id, JwsStatement(jws=spoiled_signature(good.jws)))


async def test_a_decision_on_one_request_does_not_serve_for_another(watch: Watch, people: People) -> None:
    first, second = await submitted(people), await submitted(people)
    decision = _decided(people.alice, first, _revision(await people.alice.show_case(first)))
    async with watch.refused(Duty.APPROVAL, "decision.outdated-revision"):
        await _send_decision(people.alice, second, decision)


async def test_a_decision_does_not_serve_anybody_but_who_signed_it(watch: Watch, people: People) -> None:
    request_id = await submitted(people)
    decision = _decided(people.alice, request_id, _revision(await people.alice.show_case(request_id)))
    async with watch.refused(Duty.APPROVAL, "decision.foreign"):
        await _send_decision(people.ben, request_id, decision)


async def test_a_denial_does_not_serve_as_an_approval(watch: Watch, people: People) -> None:
    request_id = await submitted(people)
    case = await people.alice.show_case(request_id)
    _, denial = people.alice._decision(case, DecisionKind.DENY, "")
    async with watch.refused(Duty.APPROVAL, "decision.contradicts"):
        await _send_decision(people.alice, request_id, denial)


async def test_a_decision_on_another_revision_is_refused(watch: Watch, people: People) -> None:
    request_id = await submitted(people)
    decision = _decided(people.alice, request_id, digest_of(b"what it said before"))
    async with watch.refused(Duty.APPROVAL, "decision.outdated-revision"):
        await _send_decision(people.alice, request_id, decision)


async def test_a_decision_on_what_is_decided_is_refused(watch: Watch, people: People) -> None:
    request_id = await watch.issued()
    case = await people.carol.show_case(request_id)
    async with watch.refused(Duty.APPROVAL, "decision.too-late"):
        await people.carol.approve(case)


async def test_a_decision_on_no_request_at_all_is_refused(watch: Watch, people: People) -> None:
    request_id = new_request_id()
    async with watch.refused(Duty.APPROVAL, "request.unknown"):
        await _send_decision(people.alice, request_id, _decided(people.alice, request_id, digest_of(b"")))


async def test_a_denial_under_anothers_key_is_believed_neither_by_approval_nor_by_the_witness(
    watch: Watch, people: People
) -> None:
    request_id = await submitted(people)
    said = Decision(
        request_id=request_id,
        revision=_revision(await people.alice.show_case(request_id)),
        decision=DecisionKind.DENY,
        approver=IdentityName("alice"),
    )
    forged = JwsStatement(jws=people.ben._sign(said, Typ.DECISION))
    command = commands.DenyRequest(request_id=request_id, decision=forged)
    async with watch.refused(Duty.APPROVAL, "evidence.unknown-key", witness=Duty.ISSUER):
        await people.alice._ask(command, DecisionResult)


# Downloads and revocations


@pytest.mark.parametrize(
    ("asked", "code"),
    [("jks", "download.format-unknown"), (str(DownloadFormat.DER_PKCS12), "download.format-not-available")],
)
async def test_a_download_in_a_format_that_there_is_not_is_refused(
    watch: Watch, people: People, asked: str, code: str
) -> None:
    request_id = await watch.issued()
    async with watch.refused(Duty.ISSUER, code):
        await people.shop._ask(commands.DownloadCertificate(request_id=request_id, format=asked), DownloadResult)


@pytest.mark.parametrize("known", [True, False], ids=["pending", "never submitted"])
async def test_what_the_issuer_has_not_heard_of_cannot_be_downloaded(
    watch: Watch, people: People, *, known: bool
) -> None:
    request_id = await submitted(people) if known else new_request_id()
    async with watch.refused(Duty.ISSUER, "request.unknown"):
        await people.shop.download(request_id)


async def test_what_the_ca_has_not_issued_yet_cannot_be_downloaded(watch: Watch, people: People) -> None:
    sandbox = sandbox_of(watch.stack)
    sandbox.set_knobs(immediate_issuance=False, validation_delay_seconds=None)
    try:
        request_id = await submitted(people)
        await approve(people, request_id)
        await reach(people, request_id, State.ORDERED)
    finally:
        sandbox.reset_knobs()
    with pytest.raises(CommandRefusedError) as refusal:
        await people.shop.download(request_id)
    assert [found.code for found in refusal.value.findings] == ["download.not-issued"]
    sandbox.issue(sandbox.orders()[-1]["id"])
    await reach(people, request_id, State.ISSUED)
    await watch.settled(request_id)
    assert (await people.shop.download(request_id)).content


@pytest.mark.parametrize("known", [True, False], ids=["pending", "never submitted"])
async def test_what_is_not_issued_cannot_be_revoked(watch: Watch, people: People, *, known: bool) -> None:
    request_id = await submitted(people) if known else new_request_id()
    async with watch.refused(Duty.REVOKER, "revocation.not-issued"):
        await people.shop.revoke(request_id, RevocationReason.SUPERSEDED)


@pytest.mark.parametrize(
    "reason",
    [
        RevocationReason.CA_COMPROMISE,
        RevocationReason.CERTIFICATE_HOLD,
        RevocationReason.REMOVE_FROM_CRL,
        RevocationReason.PRIVILEGE_WITHDRAWN,
        RevocationReason.AA_COMPROMISE,
    ],
)
async def test_nothing_is_revoked_for_a_reason_that_the_ca_does_not_take(
    watch: Watch, people: People, reason: RevocationReason
) -> None:
    request_id = await watch.issued()
    async with watch.refused(Duty.REVOKER, "revocation.reason-not-available"):
        await people.shop.revoke(request_id, reason)
    assert (await people.shop.status(request_id)).request.state is State.ISSUED


async def test_a_reason_that_no_rfc_knows_is_refused(watch: Watch, shop: Wire) -> None:
    request_id = await watch.issued()
    message_id = new_message_id()
    command = commands.RevokeCertificate(request_id=request_id, reason=RevocationReason.SUPERSEDED)
    duty, key, body = _composed(command, message_id)
    envelope: Document = json.loads(body)
    envelope["data"]["reason"] = "boredom"
    async with watch.harmless({duty: "message.invalid"}):
        answer = await shop.ask(json.dumps(envelope).encode(), key, message_id=message_id)
        assert answer.findings == ["message.invalid"]


async def test_no_bad_input_has_ended_among_the_parked_messages(watch: Watch) -> None:
    await watch.issued()
    assert parked(watch.stack) == {f"{duty}.parked": 0 for duty in Duty}
