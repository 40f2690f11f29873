"""The main job over four real processes, a real broker, the real database protocol and the CA's stand-in."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import SecretStr
from typer.testing import CliRunner

from deploy.local.stack import Stack
from services.desk.__main__ import app
from services.desk.exits import Exit
from shared.client.errors import CommandRefusedError
from shared.clock import SystemClock
from shared.contracts.content import RequestContent
from shared.contracts.notices import DecisionAwaited
from shared.contracts.replies import DecisionResult, RequestSummary, StatusResult
from shared.digicert.client import DigiCertClient
from shared.digicert.errors import CaRefusedError
from shared.digicert.models import OrderBody
from shared.evidence.anchor import Anchor
from shared.evidence.file import read_evidence, verify_evidence
from shared.evidence.steps import DecisionKind
from shared.vocabulary.formats import DownloadFormat
from shared.vocabulary.reasons import RevocationReason
from shared.vocabulary.states import State
from tests import world
from tests.infrastructure import sandbox_of
from tests.pkcs7 import pkcs7_certificates
from tests.system.way import PATIENCE, People, approve, issued, pending_at_approval, people_of, reach, submitted


@pytest.fixture
async def people(stack: Stack) -> AsyncIterator[People]:
    async with people_of(stack) as everybody:
        yield everybody


async def test_a_request_goes_all_the_way_to_a_certificate_that_openssl_accepts(
    stack: Stack, people: People, tmp_path: Path
) -> None:
    request_id = await issued(people)
    delivered = await people.shop.download(request_id)
    certificates = x509.load_pem_x509_certificates(delivered.content)
    (tmp_path / "leaf.pem").write_bytes(certificates[0].public_bytes(Encoding.PEM))
    (tmp_path / "chain.pem").write_bytes(delivered.content)
    root = Path(stack.directory) / "sandbox" / "root.pem"
    verify = await asyncio.create_subprocess_exec(
        "openssl",
        "verify",
        *("-CAfile", str(root), "-untrusted", str(tmp_path / "chain.pem"), str(tmp_path / "leaf.pem")),
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await verify.communicate()
    assert verify.returncode == 0, said


async def test_every_format_holds_the_same_certificate(people: People) -> None:
    request_id = await issued(people)
    pem = x509.load_pem_x509_certificates((await people.shop.download(request_id)).content)
    der = x509.load_der_x509_certificate((await people.shop.download(request_id, DownloadFormat.DER_X509)).content)
    p7 = pkcs7_certificates((await people.shop.download(request_id, DownloadFormat.DER_PKCS7)).content)
    armoured = pkcs7_certificates((await people.shop.download(request_id, DownloadFormat.PEM_PKCS7)).content)
    assert der == pem[0]
    assert p7 == armoured == pem


async def test_the_evidence_tells_the_whole_story_and_verifies_against_the_policys_keys(
    stack: Stack, people: People
) -> None:
    request_id = await issued(people)
    await people.olga.revoke(request_id, RevocationReason.SUPERSEDED, "replaced")
    await reach(people, request_id, State.REVOKED)
    exported = await people.shop.export_evidence(request_id)
    story = verify_evidence(read_evidence(exported.evidence.encode()), Anchor.of(stack.policy), now=SystemClock().now())
    assert story.issued
    assert story.revoked
    assert [name for name in ("alice", "ben") if any(name in step for step in story.steps)] == ["alice", "ben"]


async def test_a_revoked_certificate_is_revoked_at_the_ca_for_the_reason_given(stack: Stack, people: People) -> None:
    request_id = await issued(people)
    status = await people.shop.status(request_id)
    await people.shop.revoke(request_id, RevocationReason.KEY_COMPROMISE, "stolen")
    await reach(people, request_id, State.REVOKED)
    revocations = [
        call for call in sandbox_of(stack).calls()["calls"] if call["method"] == "PUT" and "revoke" in call["path"]
    ]
    assert revocations
    assert status.serial_number is not None
    again = await people.shop.revoke(request_id, RevocationReason.KEY_COMPROMISE)
    assert again.state is State.REVOKED


async def test_a_key_belongs_to_its_first_requester_and_to_nobody_once_it_was_compromised(people: People) -> None:
    key = ec.generate_private_key(ec.SECP256R1())

    def asked() -> RequestContent:
        return world.content(csr=world.make_csr(key=key))

    request_id = await issued(people, asked())
    with pytest.raises(CommandRefusedError) as another:
        await people.ben.submit(asked())
    assert [found.code for found in another.value.findings] == ["key.used-by-another"]
    await submitted(people, asked())

    await people.shop.revoke(request_id, RevocationReason.KEY_COMPROMISE, "stolen")
    await reach(people, request_id, State.REVOKED)
    with pytest.raises(CommandRefusedError) as compromised:
        await people.shop.submit(asked())
    assert [found.code for found in compromised.value.findings] == ["key.compromised"]


async def test_of_two_requesters_who_submit_one_key_at_the_same_moment_one_is_accepted(people: People) -> None:
    for _ in range(5):
        key = ec.generate_private_key(ec.SECP256R1())
        asked = [world.content(csr=world.make_csr(key=key)) for _ in range(2)]
        answers = await asyncio.gather(
            people.shop.submit(asked[0]), people.ben.submit(asked[1]), return_exceptions=True
        )
        (refused,) = [answer for answer in answers if isinstance(answer, CommandRefusedError)]
        assert [found.code for found in refused.findings] == ["key.used-by-another"]
        (accepted,) = [answer for answer in answers if not isinstance(answer, BaseException)]
        assert accepted.state is State.PENDING


async def test_a_withdrawn_request_can_no_longer_be_approved(people: People) -> None:
    request_id = await submitted(people)
    case = await people.alice.show_case(request_id)
    await people.shop.withdraw(request_id)
    with pytest.raises(CommandRefusedError) as refused:
        await people.alice.approve(case)
    assert [found.code for found in refused.value.findings] == ["decision.too-late"]
    assert (await reach(people, request_id, State.WITHDRAWN)).request.state is State.WITHDRAWN


async def test_who_wants_an_issued_certificates_request_back_is_told_that_it_is_too_late(people: People) -> None:
    request_id = await issued(people)
    with pytest.raises(CommandRefusedError) as refused:
        await people.shop.withdraw(request_id)
    assert [found.code for found in refused.value.findings] == ["withdrawal.too-late"]


async def test_several_requests_are_approved_by_one_signature_of_each_approver(stack: Stack, people: People) -> None:
    anchor = Anchor.of(stack.policy)
    asked = [await submitted(people) for _ in range(3)]
    for approver in (people.alice, people.ben):
        cases = [await approver.show_case(request_id) for request_id in asked]
        answers = await approver.decide(cases, DecisionKind.APPROVE, "all of them")
        assert [type(answers[request_id]) for request_id in asked] == [DecisionResult] * 3
    for request_id in asked:
        await reach(people, request_id, State.ISSUED)
        exported = await people.shop.export_evidence(request_id)
        evidence = read_evidence(exported.evidence.encode())
        assert verify_evidence(evidence, anchor, now=SystemClock().now()).issued


async def test_one_denial_ends_a_request(stack: Stack, people: People) -> None:
    orders = len(sandbox_of(stack).orders())
    request_id = await submitted(people)
    await approve(people, request_id, "alice")
    await people.carol.deny(await people.carol.show_case(request_id), "not ours")
    assert (await reach(people, request_id, State.DENIED)).request.state is State.DENIED
    with pytest.raises(CommandRefusedError):
        await approve(people, request_id, "ben")
    assert len(sandbox_of(stack).orders()) == orders


async def test_a_slow_order_shows_as_ordered_and_is_fetched_when_the_ca_issues_it(stack: Stack, people: People) -> None:
    sandbox = sandbox_of(stack)
    sandbox.set_knobs(immediate_issuance=False, validation_delay_seconds=None)
    try:
        request_id = await submitted(people)
        await approve(people, request_id)
        await reach(people, request_id, State.ORDERED)
        sandbox.issue(sandbox.orders()[-1]["id"])
        await reach(people, request_id, State.ISSUED)
    finally:
        sandbox.reset_knobs()
    assert (await people.shop.download(request_id)).content


async def ordered_with(stack: Stack, people: People, *ends: State, **knobs: object) -> StatusResult:
    """What becomes of an approved request that the CA's stand-in serves with its knobs set like this."""
    sandbox = sandbox_of(stack)
    sandbox.set_knobs(**knobs)
    try:
        request_id = await submitted(people, world.content(csr=world.make_csr("shop.example.com")))
        await approve(people, request_id)
        return await reach(people, request_id, *ends)
    finally:
        sandbox.reset_knobs()


@pytest.mark.parametrize(
    ("mutation", "code"),
    [
        ("wrong_key", "issued.key-differs"),
        ("added_name", "issued.names-differ"),
        ("longer_validity", "issued.validity-too-long"),
        ("ca_certificate", "issued.is-ca"),
        ("added_usage", "issued.eku-differs"),
        ("foreign_issuer", "issued.issuer-differs"),
        ("other_intermediate", "issued.issuer-differs"),
        ("broken_signature", "issued.issuer-differs"),
    ],
)
async def test_a_certificate_that_differs_from_the_approval_is_held_back(
    stack: Stack, people: People, mutation: str, code: str
) -> None:
    ends = (State.QUARANTINED, State.ISSUED)
    status = await ordered_with(stack, people, *ends, mutate=[mutation])
    assert status.request.state is State.QUARANTINED
    assert {code, "issued.revocation-proposed"} <= {found.code for found in status.findings}
    with pytest.raises(CommandRefusedError) as refused:
        await people.shop.download(status.request.request_id)
    assert [found.code for found in refused.value.findings] == ["download.quarantined"]


async def test_a_certificate_that_is_held_back_can_be_revoked_as_it_was_proposed(stack: Stack, people: People) -> None:
    status = await ordered_with(stack, people, State.QUARANTINED, mutate=["added_name"])
    await people.olga.revoke(status.request.request_id, RevocationReason.SUPERSEDED)
    await reach(people, status.request.request_id, State.REVOKED)


@pytest.mark.parametrize("knobs", [{"mutate": ["add_www"]}, {"organization_name": "Another Name of Ours"}], ids=str)
async def test_what_is_the_cas_own_business_is_delivered(
    stack: Stack, people: People, knobs: dict[str, object]
) -> None:
    status = await ordered_with(stack, people, State.QUARANTINED, State.ISSUED, **knobs)
    assert status.request.state is State.ISSUED, status.findings
    assert (await people.shop.download(status.request.request_id)).content


@pytest.mark.parametrize(("sent", "delivered"), [(2, 2), (3, 2), (4, 3), (5, 4)])
async def test_a_chain_that_the_ca_sends_is_delivered_without_its_root(
    stack: Stack, people: People, sent: int, delivered: int
) -> None:
    status = await ordered_with(stack, people, State.QUARANTINED, State.ISSUED, chain_length=sent)
    assert status.request.state is State.ISSUED, status.findings
    download = await people.shop.download(status.request.request_id)
    assert len(x509.load_pem_x509_certificates(download.content)) == delivered


async def test_what_is_ordered_past_the_issuer_is_found_with_a_key_that_can_only_look(
    stack: Stack, people: People, tmp_path: Path
) -> None:
    await issued(people)
    key, known = tmp_path / "view-only", tmp_path / "known"
    key.write_text(sandbox_of(stack).key("view-only"))
    known.write_text(str(stack.sandbox_info["imported_order_id"]))
    options = ("--ca-url", stack.sandbox_info["base_url"], "--ca-key", str(key), "--known", str(known))

    async def found() -> list[tuple[str, int]]:
        """What an operator's scheduled run finds that is more than a note."""
        arguments = ("orders", "reconcile", *options, "--json", "--profile", str(stack.profile_file("olga")))
        result = await asyncio.to_thread(CliRunner().invoke, app, arguments)
        report = json.loads(result.stdout)
        wrong = [each for each in report["discrepancies"] if each["finding"]["severity"] != "note"]
        assert result.exit_code == (Exit.REFUSED if wrong else Exit.OK)
        return [(each["finding"]["code"], each["order_id"]) for each in wrong]

    before = await found()  # other tests may have left a quarantined certificate
    assert {code for code, _ in before} <= {"reconcile.quarantined"}
    async with _ca_with(stack, "view-only") as onlooker, _ca_with(stack, "orders") as thief:
        with pytest.raises(CaRefusedError) as refused:
            await onlooker.place_order("ssl_basic", _order(stack))
        assert refused.value.status == 403
        placed = await thief.place_order("ssl_basic", _order(stack))
        assert placed.certificate_id is not None
        with pytest.raises(CaRefusedError) as refused:
            await onlooker.revoke_certificate(placed.certificate_id, RevocationReason.SUPERSEDED, "")
        assert refused.value.status == 403
        assert await found() == [*before, ("reconcile.orphan", placed.order_id)]


def _ca_with(stack: Stack, role: str) -> DigiCertClient:
    return DigiCertClient(base_url=stack.sandbox_info["base_url"], api_key=SecretStr(sandbox_of(stack).key(role)))


def _order(stack: Stack) -> OrderBody:
    return OrderBody(
        common_name="www.example.com",
        csr=world.make_csr(),
        alternative_order_id="a thief's",
        organization_id=stack.sandbox_info["organization_id"],
        days=90,
    )


async def test_a_requester_sees_only_its_own_requests(people: People) -> None:
    request_id = await submitted(people)
    mine = await people.shop.list_requests(limit=200)
    assert request_id in {listed.request_id for listed in mine.requests}
    assert all(isinstance(listed, RequestSummary) for listed in mine.requests)
    others = await people.carol.list_requests(limit=200)
    assert request_id not in {listed.request_id for listed in others.requests}


async def test_a_portal_submits_for_a_person_and_neither_of_them_can_approve(people: People) -> None:
    asked = world.content(on_behalf_of="ben")
    await people.portal.submit(asked, sign=False)
    await pending_at_approval(people, asked.request_id)
    await approve(people, asked.request_id, "alice")
    with pytest.raises(CommandRefusedError) as refused:
        await people.ben.approve(await people.ben.show_case(asked.request_id))
    assert [found.code for found in refused.value.findings] == ["decision.by-requester"]
    await approve(people, asked.request_id, "carol")
    await people.portal.wait_for_state(asked.request_id, [State.ISSUED], 60)


async def test_an_approver_who_watches_is_told_of_a_request_as_it_comes(people: People) -> None:
    news = people.carol.watch()
    coming = asyncio.ensure_future(anext(news))
    await people.carol.summary()  # by then the watch has begun
    request = await submitted(people)
    async with asyncio.timeout(PATIENCE.total_seconds()):
        while getattr(told := await coming, "request_id", None) != request:
            coming = asyncio.ensure_future(anext(news))
    assert isinstance(told, DecisionAwaited)
    assert (told.why, told.requesters) == ("submitted", ("shop",))
