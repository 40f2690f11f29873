"""Writing DER (X.690) for structures that no library at hand writes whole."""

from cryptography.hazmat import asn1
from cryptography.x509 import ObjectIdentifier

NULL = b"\x05\x00"
_CONTEXT, _CONSTRUCTED = 0x80, 0x20
_LONG = 0x80


def sequence(*parts: bytes) -> bytes:
    """A SEQUENCE of these parts."""
    return _tlv(0x30, b"".join(parts))


def set_of(*parts: bytes) -> bytes:
    """A SET OF these parts, in their canonical order."""
    return _tlv(0x31, b"".join(sorted(parts)))


def octets(content: bytes) -> bytes:
    """An OCTET STRING."""
    return _tlv(0x04, content)


def bmp_string(text: str) -> bytes:
    """A BMPString. Raises `ValueError` for characters beyond the basic multilingual plane."""
    if any(ord(character) > 0xFFFF for character in text):  # noqa: PLR2004 - the last of the plane
        raise ValueError("a BMPString holds characters of the basic multilingual plane only")
    return _tlv(0x1E, text.encode("utf-16-be"))


def integer(value: int) -> bytes:
    """An INTEGER."""
    return asn1.encode_der(value)


def oid(dotted: str) -> bytes:
    """An OBJECT IDENTIFIER."""
    return asn1.encode_der(ObjectIdentifier(dotted))


def explicit(number: int, content: bytes) -> bytes:
    """The content under an explicit tag of this number."""
    return _tlv(_CONTEXT | _CONSTRUCTED | number, content)


def implicit(number: int, content: bytes) -> bytes:
    """Primitive content under an implicit tag of this number."""
    return _tlv(_CONTEXT | number, content)


def algorithm(dotted: str, parameters: bytes) -> bytes:
    """An AlgorithmIdentifier (RFC 5280 §4.1.1.2)."""
    return sequence(oid(dotted), parameters)


def _tlv(tag: int, content: bytes) -> bytes:
    return bytes([tag]) + _length(len(content)) + content


def _length(length: int) -> bytes:
    if length < _LONG:
        return bytes([length])
    size = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes([_LONG | len(size)]) + size
