"""A request whose key pair the issuer makes: from the sealed password to a PKCS#12 that opens with it."""

import json
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, pkcs12
from joserfc import jwe
from joserfc.jwk import OKPKey

from shared.contracts import commands
from shared.contracts.replies import CaseResult, EvidenceResult, SealedResult
from shared.evidence.file import read_evidence, verify_evidence
from shared.evidence.jws import payload_of
from shared.evidence.steps import Issuance
from shared.identifiers import new_request_id
from shared.sealing import OpeningKey, seal
from shared.vocabulary.held import HeldKind
from shared.vocabulary.orders import OrderState
from shared.vocabulary.states import State
from shared.x509.csr import parse_csr
from tests import world
from tests.fakes.generated import Way
from tests.world import PASSWORD, wanting


def opened(content: bytes, password: str = PASSWORD) -> pkcs12.PKCS12KeyAndCertificates:
    return pkcs12.load_pkcs12(content, password.encode())


async def test_the_requester_gets_key_certificate_and_chain_under_the_password_that_they_chose() -> None:
    way, asked = Way(), wanting()
    order = await way.issue(asked)
    assert order.state is OrderState.ISSUED
    result = await way.download(asked.request_id)
    assert (result.media_type, result.file_name) == ("application/x-pkcs12", f"{asked.request_id}.p12")
    bag = opened(result.content)
    assert bag.key is not None
    assert bag.cert is not None
    spki = bag.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert spki == bag.cert.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert bag.cert.friendly_name == b"the shop's back door"
    assert [each.certificate.public_bytes(Encoding.DER) for each in bag.additional_certs] == [
        world.shared_ca().intermediate
    ]
    names = bag.cert.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["www.example.com"]


async def test_the_password_is_in_no_message_and_in_no_database() -> None:
    way, asked = Way(), wanting()
    await way.issue(asked)
    await way.download(asked.request_id)
    bodies = way.bodies()
    assert asked.request_id in bodies
    assert PASSWORD not in bodies


async def test_key_and_csr_are_stored_with_the_intent_and_replaced_by_the_pkcs12_at_issue() -> None:
    way, asked = Way(), wanting()
    way.issuer.ca.slow = timedelta(seconds=75)
    await way.submit(asked)
    await way.pass_on()
    await way.approve(asked.request_id, "alice", "ben")
    await way.pass_on()
    accepted = await way.order(asked.request_id)
    assert (accepted.csr, accepted.held, accepted.intent) == (None, None, None)
    await way.issuer.ordering.advance(accepted)
    ordered = await way.order(asked.request_id)
    assert ordered.csr is not None
    assert ordered.intent is not None
    assert ordered.held is not None
    assert ordered.held.kind is HeldKind.PKCS8
    assert [made.csr for made in way.issuer.maker.made] == [ordered.csr]
    assert way.issuer.ca.orders[0].request.csr == ordered.csr
    await way.work_off(asked.request_id)
    issued = await way.order(asked.request_id)
    assert issued.held is not None
    assert (issued.held.kind, issued.held.content) == (HeldKind.PKCS12, way.issuer.maker.packed[0])
    said = Issuance.read(payload_of(issued.issuance or ""), code="a.b")
    assert said.csr == issued.csr
    assert len(way.issuer.maker.made) == len(way.issuer.maker.packed) == 1


async def test_the_evidence_tells_of_the_key_the_download_and_the_erasure_and_holds() -> None:
    way, asked = Way(), wanting()
    await way.issue(asked)
    await way.download(asked.request_id, "pem-x509")
    await way.download(asked.request_id)
    await way.pass_on()
    reply = await way.intake.ask(commands.ExportEvidence(request_id=asked.request_id), by="shop")
    assert isinstance(reply.result, EvidenceResult)
    file = read_evidence(reply.result.evidence.encode())
    story = verify_evidence(file, way.intake.in_force.anchor, now=way.issuer.clock.now())
    assert story.issued
    assert [step.split("  ", 1)[1] for step in story.steps[-3:]] == [
        "issuer handed it to shop as pem-x509",
        "issuer handed it to shop as der-pkcs12",
        "issuer erased the private key (pkcs12): downloaded, shop",
    ]


async def test_the_first_download_is_the_last_one_unless_the_policy_says_otherwise() -> None:
    way, asked = Way(), wanting()
    await way.issue(asked)
    await way.download(asked.request_id)
    order = await way.order(asked.request_id)
    assert (order.held, order.held_for, order.due) == (None, None, None)
    assert await way.not_downloaded(asked.request_id) == ["download.erased"]
    assert (await way.download(asked.request_id, "pem-x509")).content
    changed = ("enrollment_methods =", "generated = { erase_after_download = false }\nenrollment_methods =")
    often = Way(world.generating_policy(changed))
    await often.issue(asked)
    first, second = await often.download(asked.request_id), await often.download(asked.request_id)
    assert first.content == second.content


async def test_what_nobody_downloads_is_erased_in_time_and_the_requester_is_told() -> None:
    way, asked = Way(), wanting()
    order = await way.issue(asked)
    assert order.held is not None
    assert order.due == order.held.erase_ms
    way.issuer.clock.advance(timedelta(days=14))
    await way.issuer.ordering.advance(order)
    await way.pass_on()
    assert (await way.order(asked.request_id)).held is None
    assert await way.not_downloaded(asked.request_id) == ["download.erased"]
    assert (await way.record(asked.request_id)).evidence.erasure  # type: ignore[union-attr]  # it was accepted
    assert "the private key that was made for it is erased: its time was over" in way.bodies()


async def test_nobody_else_gets_the_pkcs12() -> None:
    way, asked = Way(), wanting()
    await way.issue(asked)
    assert await way.not_downloaded(asked.request_id, by="alice") == ["request.unknown"]
    assert (await way.download(asked.request_id, by="olga")).content


async def test_a_request_with_a_csr_has_no_pkcs12() -> None:
    way, asked = Way(), world.content()
    await way.issue(asked)
    assert await way.not_downloaded(asked.request_id) == ["download.format-not-available"]


async def test_there_is_no_verdict_before_the_issuer_has_said_that_the_password_is_good() -> None:
    way, asked = Way(), wanting()
    await way.submit(asked)
    await way.pass_on(but=("issuer.password.checked",))
    answers = await way.approve(asked.request_id, "alice", "ben")
    assert [answer.result.state for answer in answers] == [State.PENDING] * 2
    shown = await way.approval.ask(commands.ShowCase(request_id=asked.request_id), by="alice")
    assert isinstance(shown.result, CaseResult)
    assert [found.code for found in shown.result.held_because] == ["password.unchecked"]
    case = await way.approval.cases.load(asked.request_id)
    assert case is not None
    await way.approval.due.advance(case)
    case = await way.approval.cases.load(asked.request_id)
    assert case is not None
    assert case.state is State.PENDING
    await way.pass_on()
    case = await way.approval.cases.load(asked.request_id)
    assert case is not None
    await way.approval.due.advance(case)
    case = await way.approval.cases.load(asked.request_id)
    assert case is not None
    assert case.state is State.APPROVED


def sealed_by_hand(password: str, request_id: str) -> str:
    """As no client of ours seals it."""
    key = world.opening_key().public
    header = {"alg": "ECDH-ES+A256KW", "enc": "A256GCM", "typ": "ra-sealed-password+jwe", "kid": key.kid}
    content = json.dumps({"request_id": request_id, "password": password}).encode()
    registry = jwe.JWERegistry(algorithms=["ECDH-ES+A256KW", "A256GCM"])
    return jwe.encrypt_compact(header, content, OKPKey.import_key(key.model_dump()), registry=registry)


def sealed_otherwise(how: str, request_id: str) -> str:
    key = world.opening_key().public
    other = new_request_id()
    good = seal(PASSWORD, request_id, key)  # type: ignore[arg-type]  # it is one
    match how:
        case "for another request":
            return seal(PASSWORD, other, key)
        case "weak":
            return seal("password1234567890", request_id, key)  # type: ignore[arg-type]  # it is one
        case "short":
            return seal("zq9!x", request_id, key)  # type: ignore[arg-type]  # it is one
        case "cut off":
            header, wrapped, nonce, text, tag = good.split(".")
            return ".".join((header, wrapped, nonce, text[:-4], tag))
        case "empty" | "of 2 kB":
            return sealed_by_hand("" if how == "empty" else "x" * 2000, request_id)
        case "with another key under the same name":
            mine = seal(PASSWORD, request_id, OpeningKey.generate().public)  # type: ignore[arg-type]  # it is one
            return ".".join([good.split(".")[0], *mine.split(".")[1:]])
        case _:
            raise AssertionError(how)


CODES = {
    "for another request": "password.other-request",
    "empty": "password.empty",
    "of 2 kB": "password.too-long",
    "weak": "password.too-weak",
    "short": "password.too-short",
    "with another key under the same name": "password.unreadable",
    "cut off": "password.unreadable",
}


@pytest.mark.parametrize("how", CODES)
async def test_what_the_issuer_cannot_use_is_refused_before_anybody_decides(how: str) -> None:
    way, request_id = Way(), new_request_id()
    await way.submit(wanting(request_id, sealed=sealed_otherwise(how, request_id)))
    await way.pass_on()
    record = await way.record(request_id)
    assert record.state is State.REFUSED
    assert CODES[how] in [found.code for found in record.findings]
    case = await way.approval.cases.load(request_id)
    assert case is not None
    assert (case.state, case.open_for) == (State.REFUSED, None)
    assert await way.issuer.orders.load(request_id) is None
    assert "ra.request.notice.v1" in {message.type for message in way.intake.publisher.published}


async def test_a_password_that_cannot_be_opened_any_more_when_it_is_ordered_fails_the_request() -> None:
    way, asked = Way(), wanting()
    await way.submit(asked)
    await way.pass_on()
    await way.approve(asked.request_id, "alice", "ben")
    await way.pass_on()
    object.__setattr__(way.issuer.passwords, "keys", ())
    await way.work_off(asked.request_id)
    order = await way.order(asked.request_id)
    assert (order.state, order.held, order.csr) == (OrderState.FAILED, None, None)
    assert [found.code for found in order.findings] == ["password.unknown-key"]
    assert way.issuer.ca.orders == []


async def test_what_comes_to_nothing_leaves_no_key_behind() -> None:
    way, asked = Way(), wanting()
    way.issuer.ca.refuses = True
    order = await way.issue(asked)
    assert (order.state, order.held, order.held_for) == (OrderState.FAILED, None, None)
    assert (await way.record(asked.request_id)).evidence.erasure  # type: ignore[union-attr]  # it was accepted


async def test_a_certificate_for_another_key_is_quarantined_and_the_key_is_erased() -> None:
    way, asked = Way(), wanting()
    way.issuer.ca.common_name = "evil.example.com"
    order = await way.issue(asked)
    assert (order.state, order.held) == (OrderState.QUARANTINED, None)
    assert await way.not_downloaded(asked.request_id) == ["download.quarantined"]


async def test_operators_see_what_is_held_and_erase_it_and_nobody_sees_its_content() -> None:
    way, asked = Way(), wanting()
    await way.issue(asked)
    shown = await way.issuer.ask(commands.ListSealed(), by="olga")
    assert isinstance(shown.result, SealedResult)
    (held,) = shown.result.held
    assert (held.request_id, held.kind, held.opening_key) == (
        asked.request_id,
        HeldKind.PKCS12,
        world.opening_key().kid,
    )
    assert await way.issuer.refused(commands.ListSealed(), by="alice") == ["identity.not-permitted"]
    assert await way.issuer.refused(commands.EraseSealed(request_id=asked.request_id), by="alice") == [
        "request.unknown"
    ]
    await way.issuer.send(commands.EraseSealed(request_id=asked.request_id), by="olga")
    await way.pass_on()
    assert (await way.order(asked.request_id)).held is None
    assert await way.issuer.refused(commands.EraseSealed(request_id=asked.request_id), by="olga") == [
        "sealed.nothing-held"
    ]
    assert await way.not_downloaded(asked.request_id) == ["download.erased"]
    assert "an operator has erased it" in way.bodies()


@pytest.mark.parametrize("key_type", ["rsa-2048", "ecdsa-p384"])
async def test_the_key_is_of_the_type_that_was_asked_for(key_type: str) -> None:
    way, asked = Way(), wanting(key_type=key_type)
    order = await way.issue(asked)
    assert order.state is OrderState.ISSUED
    made = parse_csr(order.csr or b"")
    assert f"{made.key.algorithm.lower()}-{made.key.bits}" in {"rsa-2048", "ec-384"}
