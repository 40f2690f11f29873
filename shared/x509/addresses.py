"""E-mail addresses, user principal names and URIs as alternative names: their syntax (RFC 5280 §4.2.1.6)."""

import ipaddress
import re

from shared.vocabulary.findings import Finding, finding
from shared.x509.dns import check_dns_name

_LOCAL = re.compile(r"(?=.{1,64}\Z)[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]++(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]++)*+")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*+:(?://(?P<authority>[^/?#]*+))?(?P<path>[^?#]*+)(?P<rest>.*)")
_URI_CHARACTERS = re.compile(r"(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})++")
_PORT = re.compile(r":[0-9]{0,5}\Z")


def check_email(address: str) -> list[Finding]:
    """Why this is no mailbox (RFC 5321 §4.1.2), written without quotes and at a domain."""
    local, at, domain = address.rpartition("@")
    if at and _LOCAL.fullmatch(local) and is_host_name(domain):
        return []
    return [finding("name.email-syntax", "an e-mail address is a mailbox at a domain", value=address)]


def check_upn(name: str) -> list[Finding]:
    """Why this is no user principal name: somebody at a domain."""
    _, _, domain = name.rpartition("@")
    if is_host_name(domain):
        return []
    return [finding("name.upn-syntax", "what follows the @ must be a domain", value=name)]


def check_uri(uri: str) -> list[Finding]:
    """Why this is no absolute URI (RFC 3986 §4.3) with a host, if it has an authority, that is a name or an address.

    A user in the authority, and path segments that lead upwards, are refused as well: by them a URI seems to lie where
    it does not.
    """
    found = _URI.fullmatch(uri)
    if found is None or not _URI_CHARACTERS.fullmatch(uri) or not (found["authority"] or found["path"]):
        return [_uri_problem("a URI has a scheme, and the characters of RFC 3986", uri)]
    if found["authority"] is not None and not _is_host(_PORT.sub("", found["authority"])):
        return [_uri_problem("the host of a URI is a DNS name or an address, without a user", uri)]
    if any(re.sub("%2[eE]", ".", segment) in (".", "..") for segment in found["path"].split("/")):
        return [_uri_problem("the path of a URI does not lead upwards", uri)]
    return []


def is_host_name(name: str) -> bool:
    """Whether this can be the name of a host, and no wildcard."""
    return not name.startswith("*.") and not check_dns_name(name, public=False)


def _is_host(text: str) -> bool:
    try:
        bracketed = text.startswith("[") and text.endswith("]")
        return bool(ipaddress.IPv6Address(text[1:-1]) if bracketed else ipaddress.IPv4Address(text))
    except ValueError:
        return is_host_name(text)


def _uri_problem(message: str, uri: str) -> Finding:
    return finding("name.uri-syntax", message, value=uri)
