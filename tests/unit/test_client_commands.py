"""What the client sends, whom it believes, and what it makes of silence and of refusals."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.client.client import RaClient, reachable
from shared.client.errors import (
    CommandFailedError,
    CommandRefusedError,
    NoAnswerError,
    NotConnectedError,
    OutOfReachError,
    SlowDownError,
    StillWaitingError,
    UnreadableAnswerError,
)
from shared.client.ports import Signer
from shared.client.profile import BrokerProfile, Profile
from shared.contracts import commands, events, replies
from shared.contracts.statement import JwsStatement, RevisionStatement, UnsignedSubmission
from shared.errors import RefusedError
from shared.evidence.anchor import Anchor
from shared.evidence.jws import Typ, payload_of, verify
from shared.evidence.steps import Decision, DecisionKind, Decisions
from shared.identifiers import new_request_id
from shared.messaging.messages import (
    Outgoing,
    Received,
    notify,
    refuse_unreadable,
    reply_failed,
    reply_ok,
    reply_refused,
)
from shared.vocabulary.duties import Duty
from shared.vocabulary.findings import finding
from shared.vocabulary.formats import DownloadFormat
from shared.vocabulary.keys import PublicKey
from shared.vocabulary.model import Model, digest_of
from shared.vocabulary.names import ApprovalGroupName, IdentityName, RequestId
from shared.vocabulary.reasons import RevocationReason
from shared.vocabulary.states import State
from tests import world
from tests.fakes.client_session import FakeBroker
from tests.world import NOW, FixedClock, signing_key

REQUEST = new_request_id()
NO_OPTIONS = replies.OptionsResult(signing_certificates=(), extension_profiles=(), dn_profiles=(), approval_groups=())


@asynccontextmanager
async def _client(
    broker: FakeBroker,
    identity: str = "alice",
    *,
    seconds: float = 1.0,
    anchor: Anchor | None = None,
    signer: Signer | None = None,
) -> AsyncIterator[RaClient]:
    profile = Profile(
        identity=IdentityName(identity),
        broker=BrokerProfile(host="h", port=1, virtual_host="v", password_file=Path("p")),
    )
    client = RaClient(
        profile,
        signer=signer or signing_key(identity),
        anchor=anchor,
        timeout_seconds=seconds,
        clock=FixedClock(),
        connect=broker.connect,
    )
    async with client:
        yield client


def _status(state: State, request_id: str = REQUEST) -> replies.StatusResult:
    summary = replies.RequestSummary(
        request_id=RequestId(request_id),
        name="n",
        state=state,
        approval_group=ApprovalGroupName("web"),
        requesters=(IdentityName("alice"),),
        subject="CN=www.example.com",
        submitted_at=NOW,
        changed_at=NOW,
    )
    return replies.StatusResult(request=summary, names=(), findings=(), history=())


def _case(*, by: tuple[str, ...] = ()) -> tuple[replies.CaseResult, world.Approved]:
    begun = world.accepted()
    request_id = begun.revision.request_id
    case = replies.CaseResult(
        request_id=request_id,
        state=State.PENDING,
        revision=begun.evidence.revisions[-1],
        decisions=tuple(world.decision(begun.digest, request_id, by=name) for name in by),
        quorum=2,
    )
    return case, begun


async def test_a_command_goes_out_under_its_own_identity_and_its_result_comes_back_typed() -> None:
    broker = FakeBroker()
    broker.answers[commands.ShowStatus] = lambda _: _status(State.PENDING)
    async with _client(broker) as client:
        assert (await client.status(REQUEST)).request.state is State.PENDING
    (sent,) = broker.published
    assert (sent.exchange, sent.key) == ("ra.commands", "alice.intake.status")
    assert broker.commands() == [commands.ShowStatus(request_id=REQUEST)]
    assert not broker.session.is_open


async def test_every_command_has_its_method() -> None:
    broker, page = FakeBroker(), replies.RequestsResult(requests=(), more=False)
    withdrawn = replies.WithdrawResult(request_id=REQUEST, state=State.WITHDRAWN)
    downloaded = replies.DownloadResult.model_construct(
        request_id=REQUEST, format=DownloadFormat.PEM_X509, media_type="m", file_name="f", content=b"\x00pem"
    )
    revoked = replies.RevokeResult(
        request_id=REQUEST, state=State.ISSUED, reason=RevocationReason.SUPERSEDED, certificate=digest_of(b"c")
    )
    evidence = replies.EvidenceResult(request_id=REQUEST, evidence="{}")
    broker.answers = {
        commands.ShowOptions: lambda _: NO_OPTIONS,
        commands.ListRequests: lambda _: page,
        commands.ExportEvidence: lambda _: evidence,
        commands.ListPending: lambda _: replies.PendingResult(cases=(), more=False),
        commands.WithdrawRequest: lambda _: withdrawn,
        commands.DownloadCertificate: lambda _: downloaded,
        commands.RevokeCertificate: lambda _: revoked,
    }
    async with _client(broker) as client:
        assert await client.options() == NO_OPTIONS
        assert await client.list_requests(limit=3) == page
        assert await client.export_evidence(REQUEST) == evidence
        assert not (await client.list_pending(approval_group="web")).cases
        assert await client.withdraw(REQUEST) == withdrawn
        assert (await client.download(REQUEST)).content == b"\x00pem"
        assert await client.revoke(REQUEST, RevocationReason.SUPERSEDED) == revoked


async def test_commands_side_by_side_each_get_their_own_answer() -> None:
    broker, asked = FakeBroker(), [new_request_id() for _ in range(20)]
    broker.answers[commands.ShowStatus] = lambda message: _status(State.PENDING, message.subject)
    async with _client(broker) as client:
        found = await asyncio.gather(*(client.status(request_id) for request_id in asked))
    assert [status.request.request_id for status in found] == asked
    assert len(broker.sessions) == 1


async def test_an_answer_counts_only_when_it_comes_from_the_duty_that_was_asked() -> None:
    broker = FakeBroker()

    def forge(message: Received[Model]) -> None:
        for pretender in ("approval", "mallory", None):
            broker.session.deliver(_ok(message, State.ISSUED), sender=pretender)

    broker.answers[commands.ShowStatus] = forge
    async with _client(broker, seconds=0.05) as client:
        with pytest.raises(NoAnswerError, match="approval, mallory"):
            await client.status(REQUEST)


async def test_a_forged_answer_does_not_keep_the_real_one_out() -> None:
    broker = FakeBroker()

    def answer(message: Received[Model]) -> Outgoing:
        broker.session.deliver(_ok(message, State.ISSUED), sender="mallory")
        return _ok(message, State.PENDING)

    broker.answers[commands.ShowStatus] = answer
    async with _client(broker) as client:
        assert (await client.status(REQUEST)).request.state is State.PENDING


def _ok(message: Received[Model], state: State) -> Outgoing:
    return reply_ok(message, _status(state), "x", at=NOW)


async def test_an_answer_to_another_message_is_nobodys() -> None:
    broker = FakeBroker()
    broker.answers[commands.ShowStatus] = lambda message: _ok(
        Received(new_request_id(), message.type, message.subject, message.sender, 0, message.data),  # type: ignore[arg-type]  # any UUID will do
        State.ISSUED,
    )
    async with _client(broker, seconds=0.05) as client:
        with pytest.raises(NoAnswerError):
            await client.status(REQUEST)


async def test_refusals_bring_all_their_findings() -> None:
    broker = FakeBroker()
    found = (finding("a.b", "one"), finding("a.c", "two"))
    broker.answers[commands.ShowStatus] = lambda message: reply_refused(message, found, at=NOW)
    broker.answers[commands.ShowOptions] = lambda message: refuse_unreadable(
        Duty.INTAKE, message.sender, found, origin="o", inreplyto=message.id, at=NOW
    )
    async with _client(broker) as client:
        for refused in (client.status(REQUEST), client.options()):
            with pytest.raises(CommandRefusedError, match="one") as caught:
                await refused
            assert caught.value.findings == found


async def test_a_failure_of_the_duty_is_told_apart_from_a_refusal() -> None:
    broker = FakeBroker()
    broker.answers[commands.ShowStatus] = lambda message: reply_failed(message, at=NOW)
    async with _client(broker) as client:
        with pytest.raises(CommandFailedError):
            await client.status(REQUEST)


async def test_an_answer_about_another_request_or_of_another_shape_is_not_taken() -> None:
    broker = FakeBroker()
    broker.answers[commands.ShowStatus] = lambda _: _status(State.ISSUED, new_request_id())
    broker.answers[commands.ShowOptions] = lambda _: _status(State.ISSUED)
    async with _client(broker) as client:
        with pytest.raises(UnreadableAnswerError, match="another request"):
            await client.status(REQUEST)
        with pytest.raises(UnreadableAnswerError):
            await client.options()


async def test_silence_ends_in_an_error_that_says_to_repeat() -> None:
    broker = FakeBroker()
    broker.answers[commands.ShowStatus] = lambda _: None
    async with _client(broker, seconds=0.05) as client:
        with pytest.raises(NoAnswerError, match="repeat") as caught:
            await client.status(REQUEST)
    assert caught.value.message_id == broker.published[0].id


async def test_a_full_queue_tells_the_sender_to_slow_down() -> None:
    broker = FakeBroker()
    broker.answers[commands.ShowStatus] = lambda _: SlowDownError("slow down")
    async with _client(broker) as client:
        with pytest.raises(SlowDownError):
            await client.status(REQUEST)


async def test_a_command_whose_connection_is_lost_is_sent_again_under_the_same_id(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shared.client.client.PAUSE_SECONDS", 0.01)
    broker = FakeBroker()

    def answer(_: Received[Model]) -> replies.StatusResult | None:
        if len(broker.sessions) == 1:
            broker.session.lose()
            return None
        return _status(State.PENDING)

    broker.answers[commands.ShowStatus] = answer
    async with _client(broker) as client:
        assert (await client.status(REQUEST)).request.state is State.PENDING
    first, second = broker.published
    assert first == second


async def test_a_broker_that_stays_away_ends_in_no_answer_and_one_that_never_was_there_in_not_connected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shared.client.client.PAUSE_SECONDS", 0.01)
    broker = FakeBroker()

    def lose(_: Received[Model]) -> None:
        broker.refuses = NotConnectedError("away")
        broker.session.lose()

    broker.answers[commands.ShowStatus] = lose
    async with _client(broker, seconds=0.1) as client:
        with pytest.raises(NoAnswerError, match="lost"):
            await client.status(REQUEST)
        with pytest.raises(NotConnectedError):
            await client.status(REQUEST)


async def test_submissions_are_signed_over_the_exact_content() -> None:
    broker, asked = FakeBroker(), world.content()
    broker.answers[commands.SubmitRequest] = lambda message: replies.SubmitResult(
        request_id=RequestId(message.subject), state=State.PENDING
    )
    async with _client(broker, "shop") as client:
        await client.submit(asked)
        await client.submit(asked, sign=False)
    signed, unsigned = (
        command.submission for command in broker.commands() if isinstance(command, commands.SubmitRequest)
    )
    assert isinstance(signed, JwsStatement)
    verified = verify(signed.jws, Typ.SUBMISSION, [signing_key("shop").public], now=NOW)
    assert verified.payload == asked.canonical()
    assert unsigned == UnsignedSubmission(content=asked)


@pytest.mark.parametrize("kind", list(DecisionKind))
async def test_a_decision_is_signed_for_the_digest_of_what_was_shown(kind: DecisionKind) -> None:
    broker, (case, begun) = FakeBroker(), _case()
    result = replies.DecisionResult(request_id=case.request_id, state=State.PENDING, approvals=1, quorum=2)
    broker.answers = {commands.ApproveRequest: lambda _: result, commands.DenyRequest: lambda _: result}
    async with _client(broker, anchor=Anchor.of(world.policy())) as client:
        decide = client.approve if kind is DecisionKind.APPROVE else client.deny
        assert await decide(case, "looked at it") == result
    (sent,) = broker.commands()
    assert isinstance(sent, commands.ApproveRequest | commands.DenyRequest)
    verified = verify(sent.decision.jws, Typ.DECISION, [signing_key("alice").public], now=NOW)
    assert Decision.read(verified.payload, code="a.b") == Decision(
        request_id=case.request_id,
        revision=begun.digest,
        decision=kind,
        approver=IdentityName("alice"),
        note="looked at it",
    )


class Token:
    """A signer whose key is elsewhere, and whose holder is asked each time."""

    def __init__(self, *, lets: bool) -> None:
        self.lets = lets
        self.asked: list[tuple[bytes, Typ]] = []

    @property
    def public(self) -> PublicKey:
        return signing_key("alice").public

    def sign(self, payload: bytes, typ: Typ, at: datetime) -> str:
        self.asked.append((payload, typ))
        if not self.lets:
            raise RefusedError(finding("config.token-refused", "nobody touched it"))
        return signing_key("alice").sign(payload, typ, at)


@pytest.mark.parametrize("lets", [True, False])
async def test_whatever_signs_is_asked_for_the_exact_bytes_and_without_it_nothing_is_sent(*, lets: bool) -> None:
    broker, token, (case, begun) = FakeBroker(), Token(lets=lets), _case()
    result = replies.DecisionResult(request_id=case.request_id, state=State.PENDING, approvals=1, quorum=2)
    broker.answers[commands.ApproveRequest] = lambda _: result
    async with _client(broker, anchor=Anchor.of(world.policy()), signer=token) as client:
        if lets:
            assert await client.approve(case) == result
        else:
            with pytest.raises(RefusedError, match="nobody touched it"):
                await client.approve(case)
    ((payload, typ),) = token.asked
    assert typ is Typ.DECISION
    assert Decision.read(payload, code="a.b").revision == begun.digest
    assert len(broker.commands()) == lets


@pytest.mark.parametrize("kind", list(DecisionKind))
async def test_several_are_decided_on_by_one_signature_and_each_has_its_own_answer(kind: DecisionKind) -> None:
    broker, cases = FakeBroker(), [_case() for _ in range(3)]
    refused = cases[1][0].request_id

    def decide(message: Received[Model]) -> replies.DecisionResult | Outgoing:
        if message.subject == refused:
            return reply_refused(message, [finding("decision.too-late", "too late")], at=NOW)
        return replies.DecisionResult(request_id=RequestId(message.subject), state=State.PENDING, approvals=1, quorum=2)

    broker.answers = {commands.ApproveRequest: decide, commands.DenyRequest: decide}
    async with _client(broker, anchor=Anchor.of(world.policy())) as client:
        answers = await client.decide([case for case, _ in cases], kind, "looked at them")
    sent = [each for each in broker.commands() if isinstance(each, commands.ApproveRequest | commands.DenyRequest)]
    assert {each.request_id for each in sent} == {case.request_id for case, _ in cases}
    (token,) = {each.decision.jws for each in sent}
    verified = verify(token, Typ.DECISIONS, [signing_key("alice").public], now=NOW)
    said = Decisions.read(verified.payload, code="a.b")
    assert (said.decision, said.approver, said.note) == (kind, "alice", "looked at them")
    assert {each.request_id: each.revision for each in said.requests} == {
        case.request_id: begun.digest for case, begun in cases
    }
    assert isinstance(answers[refused], CommandRefusedError)
    assert [type(answers[case.request_id]) for case, _ in cases[::2]] == [replies.DecisionResult] * 2


async def test_of_several_nothing_is_sent_when_one_shows_something_else_than_it_says() -> None:
    broker, (case, begun) = FakeBroker(), _case()
    revision = begun.revision.model_copy(update={"public_key": digest_of(b"another")})
    token = signing_key("intake").sign(revision.canonical(), Typ.REVISION, NOW)
    false = case.model_copy(update={"revision": JwsStatement(jws=token)})
    async with _client(broker) as client:
        for cases in ([_case()[0], false], [], [case, case]):
            with pytest.raises(RefusedError):
                await client.decide(cases, DecisionKind.APPROVE)
    assert broker.published == []


async def test_nothing_is_signed_that_shows_something_else_than_it_says() -> None:
    broker, (case, begun) = FakeBroker(), _case()
    changes: dict[str, object] = {
        "case.key-differs": {"public_key": digest_of(b"another")},
    }
    async with _client(broker) as client:
        for code, change in changes.items():
            assert isinstance(change, dict)
            payload = begun.revision.model_copy(update=change).canonical()
            with pytest.raises(RefusedError, match=code):
                await client.approve(_signed(case, payload))
        with pytest.raises(RefusedError, match=r"case\.not-canonical"):
            await client.approve(_signed(case, b" " + begun.revision.canonical()))
        with pytest.raises(RefusedError, match=r"case\.request-differs"):
            await client.approve(case.model_copy(update={"request_id": new_request_id()}))
    assert broker.published == []


def _signed(case: replies.CaseResult, payload: bytes, *, by: str = Duty.INTAKE) -> replies.CaseResult:
    token = signing_key(by).sign(payload, Typ.REVISION, NOW)
    return case.model_copy(update={"revision": RevisionStatement(jws=token)})


async def test_with_an_anchor_only_intakes_own_signature_makes_a_case_worth_signing() -> None:
    broker, (case, begun) = FakeBroker(), _case()
    forged = _signed(case, begun.revision.canonical(), by="mallory")
    async with _client(broker, anchor=Anchor.of(world.policy())) as client:
        with pytest.raises(RefusedError, match=r"evidence\.unknown-key"):
            await client.approve(forged)
    async with _client(broker) as client:
        assert client.read(forged).signed_at is None


async def test_earlier_decisions_that_do_not_hold_are_counted_and_not_shown() -> None:
    broker, (case, begun) = FakeBroker(), _case(by=("ben",))
    forged = world.decision(begun.digest, case.request_id, by="carol", signer="mallory")
    other = world.decision(digest_of(b"other"), case.request_id, by="carol")
    case = case.model_copy(update={"decisions": (*case.decisions, forged, other)})
    async with _client(broker, anchor=Anchor.of(world.policy())) as client:
        shown = client.read(case)
    assert [(said.decision.approver, said.applies) for said in shown.decisions] == [("ben", True), ("carol", False)]
    assert shown.doubtful == 1


async def test_a_decision_needs_a_key_and_a_note_that_fits() -> None:
    broker, (case, _) = FakeBroker(), _case()
    async with _client(broker) as client:
        with pytest.raises(RefusedError, match=r"command\.invalid"):
            await client.approve(case, "n" * 1001)
        client._signer = None
        with pytest.raises(RefusedError, match=r"config\.key-missing"):
            await client.approve(case)


async def test_what_cant_be_sent_is_refused_before_it_is() -> None:
    broker = FakeBroker()
    async with _client(broker) as client:
        with pytest.raises(RefusedError, match=r"command\.invalid"):
            await client.status("no-request")
        with pytest.raises(RefusedError, match=r"command\.invalid"):
            await client.list_requests(limit=0)
    assert broker.published == []


async def test_a_notice_makes_the_client_look_at_once() -> None:
    broker, states, looked = FakeBroker(), [State.PENDING], asyncio.Event()

    def answer(_: Received[Model]) -> replies.StatusResult:
        looked.set()
        return _status(states[0])

    broker.answers[commands.ShowStatus] = answer
    async with _client(broker, seconds=5) as client:
        waiting = asyncio.create_task(client.wait_for_state(REQUEST, {State.ISSUED}, 5))
        await looked.wait()
        states[0] = State.ISSUED
        began = asyncio.get_running_loop().time()
        notice = events.RequestNotice(request_id=REQUEST, state=State.ISSUED, message="issued")
        message = notify(notice, about=REQUEST, origin="o", receiver=IdentityName("alice"), at=datetime.now(UTC))
        broker.session.deliver(message, sender="mallory")
        broker.session.deliver(message, sender="intake")
        assert (await waiting).request.state is State.ISSUED
    assert asyncio.get_running_loop().time() - began < 0.4
    assert len(broker.published) == 2


async def test_without_notices_the_client_looks_ever_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.client.client.FIRST_LOOK_SECONDS", 0.01)
    broker, seen = FakeBroker(), iter([State.PENDING, State.APPROVED, State.ORDERED, State.ISSUED])
    broker.answers[commands.ShowStatus] = lambda _: _status(next(seen))
    async with _client(broker) as client:
        assert (await client.wait_for_state(REQUEST, {State.ISSUED}, 5)).request.state is State.ISSUED


async def test_a_state_that_cant_come_any_more_is_not_waited_for() -> None:
    broker = FakeBroker()
    broker.answers[commands.ShowStatus] = lambda _: _status(State.DENIED)
    async with _client(broker) as client:
        with pytest.raises(OutOfReachError) as caught:
            await client.wait_for_state(REQUEST, {State.ISSUED}, 5)
    assert caught.value.status.request.state is State.DENIED


async def test_waiting_has_a_limit_and_says_how_far_the_request_is() -> None:
    broker = FakeBroker()
    broker.answers[commands.ShowStatus] = lambda _: _status(State.APPROVED)
    async with _client(broker) as client:
        with pytest.raises(StillWaitingError, match="approved"):
            await client.wait_for_state(REQUEST, {State.ISSUED}, 0.1)


def test_a_returned_approval_can_still_be_issued_and_a_denied_request_cant() -> None:
    assert State.ISSUED in reachable(State.PENDING)
    assert State.PENDING in reachable(State.APPROVED)
    assert reachable(State.DENIED) == frozenset()
    assert reachable(State.ISSUED) == {State.REVOKED}


def test_the_payload_of_the_case_is_what_the_digest_is_made_of() -> None:
    case, begun = _case()
    assert digest_of(payload_of(case.revision.jws)) == begun.digest
