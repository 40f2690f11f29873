"""Certificate requests made to hurt whoever reads them: large, deep, many, costly, and all of them to be refused."""

import base64
from collections.abc import Callable, Iterator, Mapping
from random import Random

from shared.x509.csr import MAX_CSR_BYTES, MAX_CSR_TEXT
from tests.vectors.x509.make import (
    CN,
    alternative_names,
    asking,
    attribute,
    dns,
    info,
    integer,
    oid,
    request,
    sequence,
    subject,
    tlv,
)

VARIANTS = 8
_BEGIN, _END = "-----BEGIN CERTIFICATE REQUEST-----\n", "\n-----END CERTIFICATE REQUEST-----\n"
_ROOM = MAX_CSR_BYTES - 600
"""For what is made large, so that only the limits behind the first one are tried."""


def hostile_requests() -> Iterator[tuple[str, str]]:
    """Each kind in eight variants, always the same ones but for the keys: what it is, and its text."""
    for kind, make in KINDS.items():
        for variant in range(VARIANTS):
            yield f"{kind} #{variant}", make(Random(f"{kind} {variant}"))  # noqa: S311 - the same ones each time


def _pem(der: bytes) -> str:
    return f"{_BEGIN}{base64.b64encode(der).decode()}{_END}"


def _filled(text: str) -> str:
    """As much text as a request may have."""
    return (text * (MAX_CSR_TEXT // len(text) + 1))[:MAX_CSR_TEXT]


def _nested(size: int, tag: int = 0x30) -> bytes:
    """Elements within elements, as deep as this many bytes allow."""
    levels: list[bytes] = []
    inside = 0
    while True:
        header = tlv(tag, bytes(inside))[: -inside or None]
        if inside + len(header) > size:
            return b"".join(reversed(levels))
        levels.append(header)
        inside += len(header)


def _repeated(make: Callable[[int], bytes], size: int = _ROOM) -> list[bytes]:
    """As many different elements as fit into so many bytes."""
    made: list[bytes] = []
    room = size
    while room > 0:
        made.append(make(len(made)))
        room -= len(made[-1])
    return made[:-1]


def _asking(*extensions: bytes) -> str:
    return _pem(request(attributes=asking(*extensions)))


def _named(*names: bytes) -> str:
    return _asking(alternative_names(*names))


def _for_key(public: bytes, algorithm: bytes, signature: bytes) -> str:
    return _pem(sequence(info(public=public), algorithm, tlv(0x03, b"\0", signature)))


def _rsa(chance: Random, bits: int, exponent: int) -> str:
    """A key that anybody can write down, and a signature that has to be computed to be refuted."""
    modulus = chance.getrandbits(bits) | 1 << (bits - 1) | 1
    numbers = sequence(integer(modulus), integer(exponent))
    public = sequence(sequence(oid("1.2.840.113549.1.1.1"), b"\x05\x00"), tlv(0x03, b"\0", numbers))
    signature = chance.getrandbits(bits - 1).to_bytes(bits // 8, "big")
    return _for_key(public, sequence(oid("1.2.840.113549.1.1.11"), b"\x05\x00"), signature)


def _explicit_curve(chance: Random) -> str:
    """A curve of its maker's own, over a field of thousands of bits (RFC 3279 §2.3.5)."""
    number = chance.getrandbits(16_000) | 1 << 15_999 | 1
    size = b"\x01" * 2000
    curve = sequence(tlv(0x04, size), tlv(0x04, size))
    field = sequence(oid("1.2.840.10045.1.1"), integer(number))
    parameters = sequence(integer(1), field, curve, tlv(0x04, b"\x04" + size), integer(number), integer(1))
    public = sequence(sequence(oid("1.2.840.10045.2.1"), parameters), tlv(0x03, b"\0\x04" + size[:1000]))
    return _for_key(public, sequence(oid("1.2.840.10045.4.3.2")), b"\x01" * 70)


KINDS: Mapping[str, Callable[[Random], str]] = {
    # Text that is no PEM, or too much of it
    "noise in PEM, 64 KiB": lambda chance: _pem(chance.randbytes(MAX_CSR_TEXT * 3 // 4 - 100)),
    "nothing but dashes": lambda chance: _filled("-" * chance.randint(1, 9)),
    "a thousand beginnings": lambda _: _filled(_BEGIN),
    "a beginning without an end": lambda chance: _BEGIN + "A" * chance.randint(60_000, 65_000),
    "a body of blanks": lambda chance: _BEGIN + chance.choice(" \t\n\r") * 65_000 + _END,
    "control characters": lambda chance: chance.choice("\x01\x7f\u200b") * 20_000,
    # DER that is deep or long
    "nested sequences, 48 KiB": lambda _: _pem(_nested(MAX_CSR_TEXT * 3 // 4 - 100)),
    "nested sequences": lambda chance: _pem(_nested(chance.randint(10_000, _ROOM))),
    "nested attributes": lambda chance: _pem(
        request(attributes=sequence(oid("1.2.3.4"), tlv(0x31, _nested(chance.randint(8_000, _ROOM)))))
    ),
    "a nested extension": lambda chance: _asking(
        sequence(oid(chance.choice(("2.5.29.17", "2.5.29.19", "2.5.29.31"))), tlv(0x04, _nested(_ROOM)))
    ),
    "thousands of empty elements": lambda chance: _pem(tlv(0x30, bytes((chance.choice((2, 4, 5, 48)), 0)) * 7000)),
    "an identifier of 15 KiB": lambda _: _asking(sequence(tlv(0x06, b"\x2a" + b"\xff" * _ROOM + b"\x01"), b"\x04\0")),
    # Many of something
    "thousands of names": lambda chance: _named(*_repeated(lambda at: dns(b"%x.a%d" % (at, chance.randrange(10))))),
    "hundreds of long foreign names": lambda chance: _named(
        *(
            dns(b"xn--" + bytes(chance.choices(b"abcdefghijklmnopqrstuvwxyz0123456789-", k=50)) + b".test")
            for _ in range(240)
        )
    ),
    "a name of 15 KiB": lambda chance: _named(dns(chance.choice((b"a", b"a.", b"xn--a.", b"-")) * 2500)),
    "addresses by the hundred": lambda chance: _named(*(tlv(0x87, chance.randbytes(16)) for _ in range(250))),
    "thousands of names in the subject": lambda chance: _pem(
        request(name=subject(*_repeated(lambda at: attribute(CN, b"%x" % (at + chance.randrange(9))), _ROOM * 4 // 5)))
    ),
    "one name in the subject of a thousand parts": lambda _: _pem(
        request(name=sequence(tlv(0x31, *sorted(_repeated(lambda at: attribute(CN, b"%04x" % at))))))
    ),
    "a subject of 15 KiB": lambda chance: _pem(
        request(name=subject(attribute(CN, bytes((chance.randint(65, 90),)) * _ROOM)))
    ),
    "a thousand extensions": lambda chance: _asking(
        *_repeated(lambda at: sequence(oid(f"1.2.{chance.randrange(99)}.{at}"), tlv(0x04, b"\x05\0")))
    ),
    "a thousand attributes": lambda _: _pem(
        request(attributes=b"".join(_repeated(lambda at: sequence(oid(f"1.2.3.{at}"), tlv(0x31, b"\x05\0")))))
    ),
    # Keys that cost whoever computes with them
    "RSA of 16384 bits": lambda chance: _rsa(chance, 16384, 65537),
    "RSA of 8192 bits": lambda chance: _rsa(chance, 8192, 2**64 - 1),
    "an exponent as long as the modulus": lambda chance: _rsa(chance, 3072, chance.getrandbits(3071) | 1 << 3070 | 1),
    "a curve of 16000 bits": _explicit_curve,
}
