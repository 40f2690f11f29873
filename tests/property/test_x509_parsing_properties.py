import base64
from contextlib import suppress
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from shared.errors import RefusedError
from shared.x509.certificate import parse_certificate, verify_chain
from shared.x509.csr import parse_csr
from tests.vectors.x509 import make
from tests.vectors.x509.builders import LEAF, LOWER, NOON, UPPER, patient

VECTORS = Path(__file__).parents[1] / "vectors" / "x509"


def der_of(path: Path) -> bytes:
    return base64.b64decode("".join(path.read_text().splitlines()[1:-1]))


REQUESTS = [der_of(path) for path in sorted(VECTORS.glob("*.csr")) if path.stat().st_size < 4096]
SUBJECTS = [make.PLAIN, make.subject(make.attribute(make.C, b"GB", 0x13))]
ATTRIBUTES = [make.WEB, make.PASSWORD + make.WEB, make.asking(make.alternative_names(make.OTHER_NAME))]
KEYS = [make.spki(key.public_key()) for key in (make.P256, make.ED)] + [make.rsa_public(2**2048 - 1, 65537)]
CHAIN = [LEAF.issue(), LOWER.issue(), UPPER.issue()]


@st.composite
def damaged(draw: st.DrawFn, originals: list[bytes]) -> bytes:
    """A real structure with bytes replaced, cut out or put in, so that the damage lies deep inside."""
    data = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        stop = start + draw(st.integers(0, 4))
        data[start:stop] = draw(st.binary(max_size=4))
    return bytes(data)


def accepts_or_refuses(data: bytes | str) -> None:
    with suppress(RefusedError):
        parsed = parse_csr(data)
        assert parsed == parse_csr(parsed.der) == parse_csr(parsed.pem)


@patient
@given(st.binary(max_size=2048) | st.binary(max_size=2048).map(lambda rest: b"0" + rest))
def test_arbitrary_bytes_are_accepted_or_refused_and_nothing_else(data: bytes) -> None:
    accepts_or_refuses(data)


@patient
@given(st.text(max_size=500))
def test_arbitrary_text_is_accepted_or_refused_and_nothing_else(text: str) -> None:
    accepts_or_refuses(text)
    accepts_or_refuses(f"-----BEGIN CERTIFICATE REQUEST-----\n{text}\n-----END CERTIFICATE REQUEST-----\n")


@patient
@given(damaged(REQUESTS))
def test_a_damaged_request_is_accepted_or_refused_and_nothing_else(data: bytes) -> None:
    accepts_or_refuses(data)


@patient
@given(damaged(SUBJECTS), damaged(ATTRIBUTES))
def test_a_request_signed_over_damage_is_accepted_or_refused_and_nothing_else(name: bytes, asked: bytes) -> None:
    accepts_or_refuses(make.request(name=name, attributes=asked))
    accepts_or_refuses(make.request(attributes=asked))


@patient
@given(damaged(KEYS))
def test_a_request_for_a_damaged_key_is_accepted_or_refused_and_nothing_else(public: bytes) -> None:
    accepts_or_refuses(make.request(public=public))


@patient
@given(damaged(CHAIN))
def test_a_damaged_certificate_is_read_or_refused_and_nothing_else(data: bytes) -> None:
    with suppress(RefusedError):
        assert parse_certificate(data).der == data


@patient
@given(damaged(CHAIN[:1]))
def test_a_damaged_leaf_never_passes_for_the_one_that_was_signed(data: bytes) -> None:
    assert (verify_chain([data, *CHAIN[1:]], CHAIN[2:], NOON) == []) == (data == CHAIN[0])
