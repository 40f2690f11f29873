"""DNS names and addresses: their canonical form, their syntax, and what public certificates may not name."""

import ipaddress
import re

import idna

from shared.vocabulary.findings import Finding, finding

MAX_NAME = 253
MAX_LABEL = 63
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
# What IANA's registries of special-purpose addresses hold, globally reachable or not (RFC 6890; BR 1.6.1 "Reserved IP
# Address"), and what is no unicast: multicast, and the former class E.
_RESERVED_V4 = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16"),
        *("192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3"),
    )
)
_GLOBAL_UNICAST_V6 = ipaddress.IPv6Network("2000::/3")
"""The one block from which addresses are assigned (RFC 4291 §2.4): all others are reserved or special."""
_RESERVED_V6 = tuple(
    ipaddress.IPv6Network(network)
    for network in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
)
# Special-use domains (RFC 6761, RFC 6762, RFC 7686, RFC 8375, RFC 9476, RFC 9637 and ICANN's reservation of
# .internal) and the ones ICANN will never delegate because private networks use them. RFC 2606's second-level
# example domains are ordinary names and stay allowed.
_INTERNAL = frozenset(
    {
        *("alt", "arpa", "example", "internal", "invalid", "local", "localhost", "onion", "test"),
        *("corp", "domain", "home", "host", "intranet", "lan", "localdomain", "mail", "private", "workgroup"),
    }
)


def normalise_dns(name: str) -> str:
    """The name in lower case, as A-labels (RFC 5890), without a trailing dot; idempotent.

    What is no name at all comes back as it was: `check_dns_name` says what is wrong with it.
    """
    bare = name[:-1] if len(name) > 1 and name.endswith(".") and not name.endswith("..") else name
    if bare.isascii():
        return bare.lower()
    if len(bare) > MAX_NAME:
        return name
    star, rest = ("*.", bare[2:]) if bare.startswith("*.") else ("", bare)
    try:
        return star + idna.encode(rest, uts46=True).decode("ascii").lower()
    except UnicodeError:
        return name


def check_dns_name(name: str, *, public: bool) -> list[Finding]:
    """Every reason why this name may not stand in a certificate; `public` adds the rules of BR 4.2.2.

    The syntax is RFC 5280 §4.2.1.6: letters, digits and hyphens, internationalised labels as valid A-labels,
    and a wildcard only as the whole left-most label (RFC 6125 §6.4.3).
    """
    name = name.lower() if name.isascii() else name  # the Kelvin sign in small letters is a k
    star, rest = (True, name[2:]) if name.startswith("*.") else (False, name)
    if "*" in rest:
        return [_wildcard(name, "a wildcard must be the whole left-most label and the only one")]
    labels = rest.split(".")
    if problem := _syntax_problem(name, labels):
        return [finding("name.dns-syntax", problem, value=name)]
    findings = []
    if star and len(labels) == 1:
        findings.append(_wildcard(name, "a wildcard must stand below a domain of its own"))
    if public and (len(labels) == 1 or labels[-1] in _INTERNAL):
        message = "internal and reserved names are refused in public certificates"
        findings.append(finding("name.dns-internal", message, value=name))
    return findings


def check_ip(address: str, *, public: bool) -> list[Finding]:
    """Every reason why this IPv4 or IPv6 address may not stand in a certificate.

    `public` refuses what IANA's registries of special-purpose addresses hold, and all that is no global unicast. That
    includes the IPv6 ranges that embed another address (RFC 3056, RFC 4291 §2.5.5, RFC 4380, RFC 6052).
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return [finding("name.ip-syntax", "this is not an IPv4 or IPv6 address", value=address)]
    if public and _is_reserved(ip):
        return [finding("name.ip-reserved", "reserved addresses are refused in public certificates", value=address)]
    return []


def _syntax_problem(name: str, labels: list[str]) -> str | None:
    if len(name) > MAX_NAME:
        return f"a DNS name has at most {MAX_NAME} characters"
    if any(len(label) > MAX_LABEL for label in labels):
        return f"a label has at most {MAX_LABEL} characters"
    if not all(_LABEL.fullmatch(label) for label in labels):
        return "labels are letters, digits and inner hyphens, separated by single dots"
    if labels[-1].isdigit():
        return "the last label may not be a number"
    if not all(_hyphens_are_idna(label) for label in labels):
        return "a label with hyphens in third and fourth place must be a valid A-label (xn--)"
    return None


def _hyphens_are_idna(label: str) -> bool:
    if label[2:4] != "--":
        return True
    try:
        return label.startswith("xn--") and idna.alabel(idna.ulabel(label)) == label.encode("ascii")
    except UnicodeError:
        return False


def _is_reserved(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(ip, ipaddress.IPv4Address):
        return any(ip in network for network in _RESERVED_V4)
    return ip not in _GLOBAL_UNICAST_V6 or any(ip in network for network in _RESERVED_V6)


def _wildcard(name: str, message: str) -> Finding:
    return finding("name.dns-wildcard", message, value=name)
