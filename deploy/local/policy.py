"""The example policy, made fit for one machine: with keys of its own and the certificates of the local CA."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Document = dict[str, Any]


@dataclass(frozen=True)
class LocalCa:
    """What the policy says about the CA that issues here."""

    organization_id: int
    ca_cert_id: str
    certificate_file: str
    intermediate_file: str


def keyed_names(example: Mapping[str, Any]) -> tuple[str, ...]:
    """The duties and identities that have a key in this policy."""
    owners = {**example["duties"], **example["identities"]}
    return tuple(name for name, owner in owners.items() if owner.get("keys"))


def localized(example: Mapping[str, Any], *, keys: Mapping[str, str], opening: str, ca: LocalCa) -> Document:
    """The same policy with these public keys, given as the `x` of a JWK by owner, and with this CA.

    Here the subscriber runs the RA, so that the issuer may make key pairs, too: `opening` is what passwords are sealed
    to.
    """
    return {
        **example,
        "operated_by_subscriber": True,
        "opening_keys": [{"key": {"kty": "OKP", "crv": "X25519", "x": opening}}],
        "duties": _rekeyed(example["duties"], keys),
        "identities": _rekeyed(example["identities"], keys),
        "signing_certificates": {
            name: {**signing, **vars(ca), "enrollment_methods": ["csr", "generated"]}
            for name, signing in example["signing_certificates"].items()
        },
    }


def _rekeyed(owners: Mapping[str, Document], keys: Mapping[str, str]) -> dict[str, Document]:
    return {
        name: {**owner, "keys": [{"kty": "OKP", "crv": "Ed25519", "x": keys[name]}]} if name in keys else dict(owner)
        for name, owner in owners.items()
    }
