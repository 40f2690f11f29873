import json
from base64 import urlsafe_b64encode
from datetime import timedelta

import pytest

from shared.errors import RefusedError
from shared.evidence.jws import SKEW, Typ, verify
from tests.world import NOW, signing_key

PAYLOAD = b'{"a":1}'


def _codes(refused: pytest.ExceptionInfo[RefusedError]) -> list[str]:
    return [found.code for found in refused.value.findings]


def _segment(value: object) -> str:
    return urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_a_good_signature_gives_back_the_exact_bytes_and_the_signer() -> None:
    key = signing_key("alice")
    verified = verify(key.sign(PAYLOAD, Typ.DECISION, NOW), Typ.DECISION, [key.public], now=NOW)
    assert (verified.payload, verified.kid, verified.signed_at) == (PAYLOAD, key.public.kid, NOW)


def test_no_single_character_of_a_signature_can_be_changed() -> None:
    key = signing_key("alice")
    token = key.sign(PAYLOAD, Typ.DECISION, NOW)
    for position, old in enumerate(token):
        for new in "A9_.-":
            if new != old:
                changed = token[:position] + new + token[position + 1 :]
                with pytest.raises(RefusedError):
                    verify(changed, Typ.DECISION, [key.public], now=NOW)


def test_a_signature_for_one_step_does_not_serve_as_another() -> None:
    key = signing_key("alice")
    for made in Typ:
        for wanted in set(Typ) - {made}:
            with pytest.raises(RefusedError) as refused:
                verify(key.sign(PAYLOAD, made, NOW), wanted, [key.public], now=NOW)
            assert _codes(refused) == ["evidence.wrong-typ"]


def test_another_persons_key_is_unknown() -> None:
    token = signing_key("mallory").sign(PAYLOAD, Typ.DECISION, NOW)
    with pytest.raises(RefusedError) as refused:
        verify(token, Typ.DECISION, [signing_key("alice").public], now=NOW)
    assert _codes(refused) == ["evidence.unknown-key"]


def test_a_foreign_signature_under_a_known_kid_does_not_verify() -> None:
    genuine = signing_key("alice").sign(PAYLOAD, Typ.DECISION, NOW).split(".")
    forged = signing_key("mallory").sign(PAYLOAD, Typ.DECISION, NOW).split(".")
    with pytest.raises(RefusedError) as refused:
        verify(".".join([genuine[0], genuine[1], forged[2]]), Typ.DECISION, [signing_key("alice").public], now=NOW)
    assert _codes(refused) == ["evidence.signature-invalid"]


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none", "typ": Typ.DECISION, "kid": "k", "iat": 1},
        {"alg": "HS256", "typ": Typ.DECISION, "kid": "k", "iat": 1},
        {"alg": "Ed25519", "typ": Typ.DECISION, "kid": "k"},
        {"alg": "Ed25519", "typ": Typ.DECISION, "kid": "k", "iat": "1"},
        {"alg": "Ed25519", "typ": Typ.DECISION, "kid": "k", "iat": -1},
        {"alg": "Ed25519", "typ": Typ.DECISION, "kid": "k", "iat": 10**20},
        {"alg": "Ed25519", "typ": Typ.DECISION, "kid": "k", "iat": 1, "jwk": {}},
        {"alg": "Ed25519", "typ": Typ.DECISION, "kid": "k", "iat": 1, "crit": ["exp"]},
        [],
        "x",
    ],
)
def test_a_header_of_another_shape_is_refused_before_any_key_is_looked_at(header: object) -> None:
    signature = signing_key("alice").sign(PAYLOAD, Typ.DECISION, NOW).rsplit(".", 1)[1]
    token = f"{_segment(header)}.{urlsafe_b64encode(PAYLOAD).rstrip(b'=').decode()}.{signature}"
    with pytest.raises(RefusedError) as refused:
        verify(token, Typ.DECISION, [signing_key("alice").public], now=NOW)
    assert _codes(refused) == ["evidence.malformed"]


def test_a_signature_from_beyond_the_skew_is_refused_and_one_within_it_is_not() -> None:
    key = signing_key("alice")
    verify(key.sign(PAYLOAD, Typ.DECISION, NOW + SKEW), Typ.DECISION, [key.public], now=NOW)
    with pytest.raises(RefusedError) as refused:
        verify(key.sign(PAYLOAD, Typ.DECISION, NOW + SKEW + timedelta(seconds=1)), Typ.DECISION, [key.public], now=NOW)
    assert _codes(refused) == ["evidence.from-the-future"]


def test_a_private_key_does_not_print_itself() -> None:
    key = signing_key("alice")
    shown = f"{key} {key!r} {vars(key)}"
    assert "BEGIN" not in shown
    assert '"d"' not in shown
