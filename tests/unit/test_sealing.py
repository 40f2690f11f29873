import json
import pickle
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from joserfc import jwe
from joserfc.jwk import OKPKey

from shared.errors import RefusedError
from shared.password import Password
from shared.sealing import MOST_PASSWORD_BYTES, OpeningKey, kid_of_sealed, open_sealed, seal
from shared.vocabulary.names import RequestId

REQUEST = RequestId("01890a5d-ac96-774b-bcce-b302099a8057")
OTHER = RequestId("01890a5d-ac96-774b-bcce-b302099a8058")
WORDS = "correct horse battery staple"
KEY = OpeningKey.generate()


def refusal(sealed: str, request_id: RequestId = REQUEST, keys: tuple[OpeningKey, ...] = (KEY,)) -> str:
    with pytest.raises(RefusedError) as refused:
        open_sealed(sealed, request_id, keys)
    assert WORDS not in str(refused.value)
    return refused.value.findings[0].code


def encode(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def sealed_content(content: object, **header: Any) -> str:
    """Whatever somebody else's client might seal."""
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    whole = {"alg": "ECDH-ES+A256KW", "enc": "A256GCM", "typ": "ra-sealed-password+jwe", "kid": KEY.kid} | header
    registry = jwe.JWERegistry(
        algorithms=["ECDH-ES+A256KW", "ECDH-ES", "ECDH-ES+A128KW", "A256GCM", "A128GCM", "DEF"],
        strict_check_header=False,
    )
    return jwe.encrypt_compact(whole, data, OKPKey.import_key(KEY.public.model_dump()), registry=registry)


@pytest.mark.parametrize("password", [WORDS, "ä" * 500, '"' * MOST_PASSWORD_BYTES, "\\" * MOST_PASSWORD_BYTES, " "])
def test_what_is_sealed_for_a_request_opens_for_it(password: str) -> None:
    sealed = seal(password, REQUEST, KEY.public)
    assert open_sealed(sealed, REQUEST, [OpeningKey.generate(), KEY]).reveal() == password
    assert kid_of_sealed(sealed) == KEY.public.kid


def test_all_sealed_passwords_have_one_size_and_no_two_are_alike() -> None:
    sealed = [seal(password, REQUEST, KEY.public) for password in ("a", WORDS, WORDS, "x" * 1024, "ß" * 512)]
    assert len({len(text) for text in sealed}) == 1
    assert len(set(sealed)) == len(sealed)


def test_the_header_holds_nothing_but_what_opening_needs() -> None:
    header = json.loads(urlsafe_b64decode(seal(WORDS, REQUEST, KEY.public).split(".")[0] + "=="))
    assert set(header) == {"alg", "enc", "typ", "kid", "epk"}
    assert REQUEST not in json.dumps(header)


def test_a_password_sealed_to_another_key_is_refused() -> None:
    stranger = OpeningKey.generate()
    assert refusal(seal(WORDS, REQUEST, stranger.public)) == "password.unknown-key"
    assert refusal(seal(WORDS, REQUEST, KEY.public), keys=()) == "password.unknown-key"


def test_a_password_sealed_to_another_key_under_the_name_of_ours_is_refused() -> None:
    stranger = OpeningKey.generate()
    header = {"alg": "ECDH-ES+A256KW", "enc": "A256GCM", "typ": "ra-sealed-password+jwe", "kid": KEY.kid}
    sealed = jwe.encrypt_compact(
        header,
        b"{}",
        OKPKey.import_key(stranger.public.model_dump()),
        registry=jwe.JWERegistry(algorithms=["ECDH-ES+A256KW", "A256GCM"]),
    )
    assert refusal(sealed) == "password.unreadable"


def test_a_password_replayed_on_another_request_is_refused() -> None:
    assert refusal(seal(WORDS, REQUEST, KEY.public), OTHER) == "password.other-request"


def test_a_retired_key_still_opens_what_was_sealed_to_it() -> None:
    sealed = seal(WORDS, REQUEST, KEY.public)
    assert open_sealed(sealed, REQUEST, [OpeningKey.generate(), KEY, OpeningKey.generate()]).reveal() == WORDS


def test_a_sealed_password_that_was_cut_off_is_refused_wherever_it_was() -> None:
    sealed = seal(WORDS, REQUEST, KEY.public)
    lengths = {*range(0, len(sealed), 7), *range(len(sealed) - 40, len(sealed))}
    assert {refusal(sealed[:length]) for length in lengths} == {"password.unreadable"}


def test_a_sealed_password_of_which_one_character_was_changed_is_refused() -> None:
    sealed = seal(WORDS, REQUEST, KEY.public)
    header_end = sealed.index(".")
    for place in {*range(0, header_end, 5), *range(header_end + 1, len(sealed), 11), len(sealed) - 1}:
        if sealed[place] != ".":
            changed = "A" if sealed[place] != "A" else "B"
            code = refusal(sealed[:place] + changed + sealed[place + 1 :])
            assert code in {"password.unreadable", "password.unknown-key"}


@pytest.mark.parametrize(
    "sealed",
    ["", "....", ".", "a.b.c.d.e", WORDS, "ä.b.c.d.e", "x" * 100_000, f"{encode(b'[' * 9000)}.a.b.c.d"],
)
def test_what_is_no_sealed_password_is_refused(sealed: str) -> None:
    assert refusal(sealed) == "password.unreadable"


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "ECDH-ES"},
        {"alg": "ECDH-ES+A128KW"},
        {"enc": "A128GCM"},
        {"typ": "JWE"},
        {"zip": "DEF"},
        {"apu": "QQ"},
        {"cty": "text/plain"},
    ],
)
def test_another_header_is_refused(header: dict[str, Any]) -> None:
    content = {"request_id": REQUEST, "password": WORDS}
    assert refusal(sealed_content(content, **header)) == "password.unreadable"


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header | {"crit": ["exp"]},
        lambda header: header | {"alg": "dir"},
        lambda header: header | {"epk": "x"},
        lambda header: header | {"epk": header["epk"] | {"crv": "X448"}},
        lambda header: header | {"epk": header["epk"] | {"d": "x"}},
        lambda header: header | {"epk": header["epk"] | {"x": 1}},
        lambda header: header | {"epk": header["epk"] | {"x": encode(bytes(32))}},
        lambda header: {name: value for name, value in header.items() if name != "kid"},
        lambda header: [header],
        lambda _: None,
    ],
)
def test_a_header_that_was_tampered_with_is_refused(change: Callable[[dict[str, Any]], object]) -> None:
    head, _, rest = seal(WORDS, REQUEST, KEY.public).partition(".")
    header = change(json.loads(urlsafe_b64decode(head + "==")))
    assert refusal(f"{encode(json.dumps(header).encode())}.{rest}") == "password.unreadable"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "password.unreadable"),
        (b"\xff", "password.unreadable"),
        (b"[" * 5000, "password.unreadable"),
        ([], "password.unreadable"),
        ({"request_id": REQUEST}, "password.unreadable"),
        ({"request_id": REQUEST, "password": 5}, "password.unreadable"),
        ({"request_id": REQUEST, "password": WORDS, "more": ""}, "password.unreadable"),
        ({"request_id": REQUEST, "password": ""}, "password.empty"),
        ({"request_id": REQUEST, "password": "x" * 1025}, "password.too-long"),
        ({"request_id": REQUEST, "password": "x" * 10_000}, "password.too-long"),
        ({"request_id": REQUEST, "password": "a\nb"}, "password.characters"),
        ({"request_id": REQUEST, "password": "\ud800"}, "password.characters"),
    ],
)
def test_content_that_a_good_client_does_not_seal_is_refused(content: object, code: str) -> None:
    assert refusal(sealed_content(content)) == code


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("", "password.empty"),
        ("x" * 1025, "password.too-long"),
        ("x" * 10_000, "password.too-long"),
        ("\x00", "password.characters"),
        ("\udc80", "password.characters"),
    ],
)
def test_a_password_that_could_not_be_opened_is_not_sealed(password: str, code: str) -> None:
    with pytest.raises(RefusedError) as refused:
        seal(password, REQUEST, KEY.public)
    assert [found.code for found in refused.value.findings] == [code]


def test_a_password_shows_itself_only_when_asked() -> None:
    password = Password(WORDS)
    assert WORDS not in f"{password} {password!r} {password!s} {[password]}"
    assert password.reveal() == WORDS
    with pytest.raises(TypeError):
        pickle.dumps(password)


def test_an_opening_key_is_read_from_its_file_and_shows_nothing(tmp_path: Path) -> None:
    file = tmp_path / "opening.pem"
    file.write_bytes(KEY.pem())
    read = OpeningKey.from_file(file)
    assert (read.kid, read.public) == (KEY.kid, KEY.public)
    assert open_sealed(seal(WORDS, REQUEST, KEY.public), REQUEST, [read]).reveal() == WORDS
    assert str(read) == object.__repr__(read)


def test_a_file_without_an_opening_key_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.pem"
    signing = Ed25519PrivateKey.generate()
    locked = load_pem_private_key(KEY.pem(), None)
    for content in (
        b"nothing",
        signing.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        locked.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")),
    ):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"."):
            OpeningKey.from_file(file)
