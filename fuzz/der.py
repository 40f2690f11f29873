"""Changes to DER that keep it DER, so that they reach what lies behind a parser's first look."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from random import Random

from cryptography.x509.oid import ExtensionOID, NameOID, ObjectIdentifier

from fuzz.mutation import HOW_MANY, NOISE, Scramble
from tests.vectors.x509.make import PASSWORD, WEB, asking, attribute, dns, integer, oid, sequence, tlv

_DEEPEST = 60
_LARGEST = 64 * 1024
"""Up to here elements are repeated; beyond, everything is refused for its size."""
# X.690 §8.1.2 and §8.1.3.
_BIT_STRING, _OCTET_STRING, _HIGH_TAG, _CONSTRUCTED, _LONG_FORM, _CONTEXT = 0x03, 0x04, 0x1F, 0x20, 0x80, 0x80
_EMPTY = b"\x05\x00"
_TAGS = bytes.fromhex("01020304050613 0c14161a1c1e 3031 80828187 a0a4")


@dataclass
class Node:
    """One element: its tag, and its bytes or the elements that stand in it."""

    tag: int
    content: "bytes | list[Node]"
    unused: bytes = b""
    """Of a bit string that holds elements: the byte before them, which counts its unused bits."""

    @property
    def children(self) -> "list[Node]":
        """What stands in it, if it is made of elements."""
        return self.content if isinstance(self.content, list) else []

    @property
    def data(self) -> bytes:
        """What stands in it, as bytes."""
        return self.content if isinstance(self.content, bytes) else self.unused + write_der(self.content)


def read_der(data: bytes, depth: int = 0) -> list[Node]:
    """The elements that stand one after the other in these bytes; strings that hold DER are opened.

    Raises:
        ValueError: they are no DER.
    """
    nodes: list[Node] = []
    while data:
        tag, content, data = _first(data)
        nodes.append(_opened(tag, content, depth))
    return nodes


def split_der(data: bytes) -> tuple[bytes, bytes]:
    """The first element and the rest.

    Raises:
        ValueError: they do not begin with DER.
    """
    _, _, rest = _first(data)
    return data[: len(data) - len(rest)], rest


def write_der(nodes: Sequence[Node]) -> bytes:
    """The bytes of these elements, with lengths that fit."""
    return b"".join(tlv(node.tag, node.data) for node in nodes)


def mutate_der(data: bytes, chance: Random, scramble: Scramble) -> bytes:
    """The same elements with a few of them changed, doubled, moved, nested or gone; now and then plain noise."""
    try:
        nodes = read_der(data)
    except ValueError:
        return scramble(data)
    if chance.random() < NOISE:
        return scramble(data)
    for _ in range(chance.choice(HOW_MANY)):
        places = list(_places(nodes))
        if places:
            chance.choice(_CHANGES)(*chance.choice(places), chance, scramble)
    return write_der(nodes)


def _first(data: bytes) -> tuple[int, bytes, bytes]:
    """Tag and content of the first element, and what follows."""
    if len(data) < len(_EMPTY) or data[0] & _HIGH_TAG == _HIGH_TAG:
        raise ValueError("no element begins here, or one whose tag has several bytes")
    tag, size, start = data[0], data[1], 2
    if size >= _LONG_FORM:
        start += size - _LONG_FORM
        size = int.from_bytes(data[2:start])
    if start + size > len(data):
        raise ValueError("the element is longer than the bytes")
    return tag, data[start : start + size], data[start + size :]


def _opened(tag: int, content: bytes, depth: int) -> Node:
    unused = b"\0" if tag == _BIT_STRING and content.startswith(b"\0") else b""
    inside = content.removeprefix(unused)
    if depth < _DEEPEST and inside and (tag & _CONSTRUCTED or tag == _OCTET_STRING or unused):
        with suppress(ValueError):
            return Node(tag, read_der(inside, depth + 1), unused)
    return Node(tag, content)


def _places(nodes: list[Node]) -> Iterator[tuple[list[Node], int]]:
    """Every element, as its place among its siblings."""
    for index, node in enumerate(nodes):
        yield nodes, index
        yield from _places(node.children)


def _scramble(siblings: list[Node], index: int, _: Random, scramble: Scramble) -> None:
    siblings[index].content = scramble(siblings[index].data)


def _retag(siblings: list[Node], index: int, chance: Random, _: Scramble) -> None:
    siblings[index].tag = chance.choice(_TAGS)


def _remove(siblings: list[Node], index: int, _: Random, __: Scramble) -> None:
    del siblings[index]


def _multiply(siblings: list[Node], index: int, chance: Random, _: Scramble) -> None:
    content = siblings[index].data
    times = _bounded(chance.choice((1, 1, 2, 70, 300)), content)
    siblings[index:index] = [Node(siblings[index].tag, content) for _ in range(times)]


def _move(siblings: list[Node], index: int, chance: Random, _: Scramble) -> None:
    siblings.insert(chance.randrange(len(siblings)), siblings.pop(index))


def _wrap(siblings: list[Node], index: int, chance: Random, _: Scramble) -> None:
    wrapped = write_der(siblings[index : index + 1])
    for _level in range(chance.choice((0, 0, 1, 200))):
        wrapped = tlv(chance.choice((0x30, 0x31, 0xA0)), wrapped)
    siblings[index] = Node(chance.choice((0x30, 0x31, 0xA0)), wrapped)


def _lengthen(siblings: list[Node], index: int, chance: Random, _: Scramble) -> None:
    content = siblings[index].data
    siblings[index].content = content * _bounded(chance.choice((2, 3, 64, 1000)), content)


def _bounded(times: int, content: bytes) -> int:
    return min(times, 1 + _LARGEST // (1 + len(content)))


def _insert(siblings: list[Node], index: int, chance: Random, _: Scramble) -> None:
    siblings[index:index] = [_fitting(siblings[index], chance)]


def _replace(siblings: list[Node], index: int, chance: Random, _: Scramble) -> None:
    siblings[index] = _fitting(siblings[index], chance)


def _fitting(node: Node, chance: Random) -> Node:
    """A piece to put beside this element or in its place: mostly one of its kind, which may well stand there."""
    alike = _pieces_by_kind().get(_kind(node.tag), pieces())
    (piece,) = read_der(chance.choice(alike if chance.random() > NOISE else pieces()))
    return piece


_CHANGES: tuple[Callable[[list[Node], int, Random, Scramble], None], ...] = (
    *(_insert, _replace) * 5,
    *(_scramble, _remove, _multiply, _move) * 2,
    *(_retag, _wrap, _lengthen),
)


@cache
def pieces() -> tuple[bytes, ...]:
    """Elements worth trying anywhere: values, attributes of names, names of every kind, extensions and requests."""
    return (
        *map(bytes.fromhex, ("0500", "0101ff", "030100", "0400", "0c00", "3000", "3100", "0600", "060180")),
        *(tlv(0x17, b"270101000000Z"), tlv(0x18, b"99991231235959Z")),
        *(integer(number) for number in (0, 1, -1, 2**63, 2**256)),
        *(oid(kind) for kind in (*_oids(NameOID), *_oids(ExtensionOID))),
        *(tlv(0x31, attribute(kind, text, tag)) for kind in _oids(NameOID) for text in _TEXTS for tag in _TEXT_TAGS),
        *_general_names(),
        *extensions(),
        *(asking(extension) for extension in extensions()),
        asking(extensions()[0], number="1.3.6.1.4.1.311.2.1.14"),
        PASSWORD,
        WEB,
    )


@cache
def _pieces_by_kind() -> dict[int, list[bytes]]:
    kinds: dict[int, list[bytes]] = {}
    for piece in pieces():
        kinds.setdefault(_kind(piece[0]), []).append(piece)
    return kinds


def _kind(tag: int) -> int:
    """A universal tag, or one number for all others: alternatives such as the kinds of names are told by those."""
    return min(_CONTEXT, tag)


@cache
def extensions() -> tuple[bytes, ...]:
    """Extensions of every known kind, alternative names of every kind among them."""
    critical = b"\x01\x01\xff"
    return (
        *(sequence(oid("2.5.29.17"), tlv(0x04, sequence(name))) for name in _general_names()),
        *(sequence(oid(kind), tlv(0x04, b"\x30\x00")) for kind in _oids(ExtensionOID)),
        sequence(oid("2.5.29.15"), critical, tlv(0x04, b"\x03\x02\x05\xa0")),
        sequence(oid("2.5.29.19"), critical, tlv(0x04, sequence(critical, integer(0)))),
        sequence(oid("2.5.29.37"), tlv(0x04, sequence(oid("1.3.6.1.5.5.7.3.1")))),
        sequence(oid("1.3.6.1.5.5.7.1.24"), tlv(0x04, sequence(integer(5)))),
    )


_TEXT_TAGS = (0x0C, 0x13, 0x14, 0x1E)
_TEXTS = (
    b"",
    b"GB",
    b"a" * 65,
    b"\xff",
    b"\0a\0",
    "a\N{RIGHT-TO-LEFT OVERRIDE}b".encode(),
    b"=,+\\#",
    b"a.example.com",
)
_HOSTS = (
    *(b"www.example.com", b"*.example.com", b"*", b".", b"a..b", b"localhost", b"com", b"*.com", b"1.2.3.4", b"-a.com"),
    *(b"xn--", b"xn--a", b"XN--mnchen-3ya.example.com", b"b\xc3\xbccher.example.com", b"example.com\0.evil.example"),
    *(b"a" * 64 + b".example.com", b"a." * 126 + b"example.com"),
)


def _oids(kinds: type) -> list[str]:
    return [value.dotted_string for value in vars(kinds).values() if isinstance(value, ObjectIdentifier)]


def _general_names() -> Iterator[bytes]:
    yield from (dns(name) for name in _HOSTS)
    yield from (tlv(0x87, address) for address in (b"\x7f\0\0\1", bytes(16), bytes(8), b"12345"))
    yield from (tlv(0x81, mail) for mail in (b"a@example.com", b"a@b@c", b"@", b"a@[1.2.3.4]"))
    yield from (tlv(0x86, uri) for uri in (b"https://example.com/", b"http://[", b"urn:a"))
    yield tlv(0x88, b"\x2a\x03\x04")
    yield tlv(0xA0, oid("1.3.6.1.4.1.311.20.2.3"), tlv(0xA0, tlv(0x0C, b"jane@example.com")))
    yield tlv(0xA4, sequence(tlv(0x31, attribute("2.5.4.3", b"a"))))
