"""A policy and a request under it as they are planned, with what must come of them; and mistakes to make in them.

What a certificate must hold is written down with the plan, so that nothing of it comes from the code that puts
certificates together. Plans are drawn in `drawing`.
"""

from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import cache
from typing import Any

from shared.contracts.content import RequestContent
from shared.identifiers import new_request_id
from shared.policy.model import PolicyFile
from shared.policy.policy import Policy
from tests import world
from tests.golden import recipes

Values = Mapping[str, Any]

KEY_TYPES = ("rsa-2048", "ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "ed25519")
CLIENTS_END = date(2027, 3, 1)
OID = "1.3.6.1.4.1.99999"
KINDS = ("dns", "ip", "email", "uri", "upn")
DRAWN = "drawn"
CHOICES = {"signing_certificate": DRAWN, "approval_group": "web", "extension_profile": DRAWN, "dn_profile": DRAWN}


@cache
def key(kind: str) -> recipes.Key:
    """The key of this type, the same throughout the test process: keys take time."""
    return recipes.KEYS[kind]()


@dataclass(frozen=True)
class Plan:
    """A rule for an attribute or an extension, what the CSR and the requester say of it, and what must come of that."""

    rule: Values
    csr: tuple[str, ...] = ()
    entered: tuple[str, ...] = ()
    final: tuple[str, ...] = ()

    @property
    def type(self) -> str:
        """Of the attribute or extension."""
        return str(self.rule["type"])


@dataclass(frozen=True)
class NamesPlan:
    """The same for the alternative names, each as `KIND:NAME`; without a rule there are none."""

    rule: Values | None = None
    csr: tuple[str, ...] = ()
    entered: tuple[str, ...] = ()
    final: tuple[str, ...] = ()


@dataclass(frozen=True)
class Asked:
    """A policy and a request under it."""

    public: bool
    today: date
    key_type: str
    subject: tuple[Plan, ...]
    names: NamesPlan
    extensions: tuple[Plan, ...]
    own: tuple[tuple[str, bool, str], ...]
    """User-defined extensions in the CSR: OID, whether critical, DER in base64."""
    signing: Values
    request: Values
    """Fields beside the choices, the CSR and what is entered."""
    recipe: Values = field(default_factory=dict)
    """What is otherwise in the CSR than planned."""
    entered: Values = field(default_factory=dict)
    """What is entered otherwise than planned."""
    signer: str = ""
    """The type of the key that signs the CSR, if that is not its own."""

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        base = world.policy()
        profiles = {
            "dn_profiles": {DRAWN: {"attributes": [plan.rule for plan in self.subject]}},
            "extension_profiles": {
                DRAWN: {
                    "extensions": [*([self.names.rule] if self.names.rule else []), *(p.rule for p in self.extensions)],
                    "user_defined_extensions": [oid for oid, _, _ in self.own],
                }
            },
            "signing_certificates": {DRAWN: self.signing},
        }
        file = PolicyFile.model_validate(base.file.model_dump(mode="json") | profiles, strict=False)
        (intermediate,), (imported,) = base.intermediates.values(), base.imported.values()
        name = next(iter(file.signing_certificates))
        return replace(base, file=file, intermediates={name: intermediate}, imported={name: imported})

    @property
    def content(self) -> RequestContent:
        """The request."""
        entered = {
            "subject": [{"type": plan.type, "value": value} for plan in self.subject for value in plan.entered],
            "names": by_kind(self.names.entered),
            "extensions": [{"type": plan.type, "values": plan.entered} for plan in self.extensions if plan.entered],
        }
        fields = {
            "request_id": new_request_id(),
            "name": DRAWN,
            "csr": self.csr,
            "entered": entered | dict(self.entered),
        }
        return RequestContent.model_validate(CHOICES | fields | dict(self.request))

    @property
    def csr(self) -> str:
        """The CSR, PEM."""
        recipe: dict[str, Any] = {
            "subject": [f"{plan.type}={value}" for plan in self.subject for value in plan.csr],
            "extensions": [
                *(f"{plan.type}: {' '.join(spelled(plan.type, plan.csr))}" for plan in self.extensions if plan.csr),
                *(f"{'critical ' if critical else ''}{oid}: {b64decode(der).hex()}" for oid, critical, der in self.own),
            ],
        }
        if self.names.csr:
            recipe["names"] = list(self.names.csr)
        signing = key(self.signer or self.key_type)
        return recipes.written({**recipe, **self.recipe}, recipes.Key(key(self.key_type).spki, signing.sign))


def by_kind(names: Iterable[str]) -> dict[str, list[str]]:
    """The names without their kinds, by kind."""
    found: dict[str, list[str]] = {}
    for name in names:
        kind, _, value = name.partition(":")
        found.setdefault(kind, []).append(value)
    return found


def spelled(kind: str, values: tuple[str, ...]) -> list[str]:
    """The values of an extension as a recipe has them."""
    if kind == "basicConstraints":
        return ["CA=FALSE"]
    return [b64decode(value).hex() for value in values] if kind.startswith(OID) else list(values)


# --- mistakes -----------------------------------------------------------------------------------------------------

Spoil = Callable[[Asked], Asked]
"""Makes one mistake in a good request."""


def _unknown_attribute(asked: Asked) -> Asked:
    return replace(asked, entered={"subject": [{"type": "pseudonym", "value": "Anybody"}]})


def _subject(**plan: Any) -> Spoil:
    return lambda asked: replace(asked, subject=(*asked.subject, Plan(**plan)))


def _names(*names: str, **rule: Any) -> Spoil:
    def spoil(asked: Asked) -> Asked:
        lenient = {"type": "subjectAltName", **(asked.names.rule or {}), "from_csr": True, "kinds": KINDS, **rule}
        return replace(asked, names=NamesPlan(lenient, csr=names), entered={"names": {}})

    return spoil


def _extension(text: str) -> Spoil:
    return lambda asked: replace(asked, own=(), recipe={"extensions": [text]})


def _key_of_another_type(asked: Asked) -> Asked:
    kinds = [kind for kind in asked.signing["key_types"] if kind != asked.key_type]
    return replace(asked, signing={**asked.signing, "key_types": kinds})


def _signed_by_another(asked: Asked) -> Asked:
    return replace(asked, signer=next(kind for kind in KEY_TYPES if kind != asked.key_type))


def _clients_after_their_end(asked: Asked) -> Asked:
    purposes = Plan({"type": "extendedKeyUsage", "fixed": ["serverAuth", "clientAuth"]})
    signing = {**asked.signing, "trust": "public"}
    return replace(asked, today=CLIENTS_END, signing=signing, extensions=(purposes,), own=())


def _nobody(asked: Asked) -> Asked:
    unnamed = NamesPlan({"type": "subjectAltName", "required": False})
    return replace(asked, subject=(Plan({"type": "title"}),), names=unnamed)


def _asked_for(**fields: object) -> Spoil:
    return lambda asked: replace(asked, request={**asked.request, **fields})


def _for_days(days: int) -> Spoil:
    return lambda asked: _asked_for(expires_on=asked.today + timedelta(days=days))(asked)


MISTAKES: Mapping[str, tuple[str, Spoil]] = {
    "an attribute that the profile does not know": ("dn.attribute-not-allowed", _unknown_attribute),
    "two values where there is one": ("dn.attribute-repeated", _subject(rule={"type": "UID"}, csr=("a", "b"))),
    "another value than the fixed one": ("dn.value-fixed", _subject(rule={"type": "UID", "fixed": "a"}, csr=("b",))),
    "a value not allowed": (
        "dn.value-not-allowed",
        _subject(rule={"type": "UID", "allowed": ["a"]}, csr=("b",)),
    ),
    "a value that is missing": ("dn.attribute-missing", _subject(rule={"type": "UID", "required": True})),
    "nobody": ("name.nobody", _nobody),
    "a name that is none": ("name.dns-syntax", _names("dns:a..example.com")),
    "a wildcard inside": ("name.dns-wildcard", _names("dns:a.*.example.com")),
    "too many names": ("name.too-many", _names("dns:a.example.com", "dns:b.example.com", max_names=1)),
    "a name outside": ("name.dns-outside", _names("dns:a.example.com", dns_suffixes=["b.example.com"])),
    "an authority": ("extension.ca-requested", _extension("critical basicConstraints: CA=TRUE")),
    "signing certificates": ("extension.ca-requested", _extension("keyUsage: digitalSignature keyCertSign")),
    "an extension that the profile does not know": ("extension.not-allowed", _extension(f"{OID}.99: 0500")),
    "a key of another type": ("key.type-not-allowed", _key_of_another_type),
    "a weak key": ("key.fermat-close", lambda asked: replace(asked, key_type="rsa-fermat-close")),
    "another's signature": ("csr.signature-invalid", _signed_by_another),
    "an unknown profile": ("request.unknown-dn-profile", _asked_for(dn_profile="another")),
    "an unknown signing one": (
        "request.unknown-signing-certificate",
        _asked_for(signing_certificate="another"),
    ),
    "another hash": ("request.signature-hash-not-allowed", _asked_for(signature_hash="sha512")),
    "the end today": ("validity.past", _for_days(0)),
    "the end too late": ("validity.too-long", _for_days(5000)),
    "clients after their end": ("eku.client-auth-ended", _clients_after_their_end),
}
"""What is wrong, and the code with which it must be refused."""
