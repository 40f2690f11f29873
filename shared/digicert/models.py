"""What is sent to the CA and what comes back, as frozen values.

Requests are strict. Answers are lax, because the CA's are: unknown fields are dropped, numbers may arrive as
strings, an absent object may arrive as `[]`, and most fields may be missing.
"""

import re
from base64 import b64decode
from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AliasPath, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from shared.vocabulary.names import CertificateId, OrderId
from shared.vocabulary.reasons import RevocationReason

MAX_CHAIN_LENGTH = 10
"""More certificates than this in one chain are taken for nonsense; the CA's own have three to five."""

REVOCATION_REASONS = frozenset(
    {
        RevocationReason.UNSPECIFIED,
        RevocationReason.KEY_COMPROMISE,
        RevocationReason.AFFILIATION_CHANGED,
        RevocationReason.SUPERSEDED,
        RevocationReason.CESSATION_OF_OPERATION,
    }
)
"""The reasons that the CA takes; the others of RFC 5280 §5.3.1 are not for subscribers."""

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")


class OrderStatus(StrEnum):
    """The documented states of an order; an answer may carry others, so its field is plain text."""

    PENDING = "pending"
    NEEDS_APPROVAL = "needs_approval"
    PROCESSING = "processing"
    ISSUED = "issued"
    REJECTED = "rejected"
    REVOKED = "revoked"
    CANCELED = "canceled"
    WAITING_PICKUP = "waiting_pickup"
    REISSUE_PENDING = "reissue_pending"
    EXPIRED = "expired"


def certificates_of(pem: str) -> tuple[bytes, ...]:
    """The DER of every certificate in this PEM text, in its order.

    Raises:
        ValueError: there is none, there are more than `MAX_CHAIN_LENGTH`, or one is not base64.
    """
    bodies = _PEM.findall(pem)
    if not 0 < len(bodies) <= MAX_CHAIN_LENGTH or pem.count("-----BEGIN") != len(bodies):
        raise ValueError("not a chain of PEM certificates")
    return tuple(b64decode("".join(body.split()), validate=True) for body in bodies)


def serial_number_text(number: int) -> str:
    """A serial number as 32 hexadecimal digits or more, padded with zeros.

    Whether the CA's look-up needs the padding is documented nowhere; a thumbprint has one length and no such doubt.
    """
    return f"{number:032x}"


def _chain(value: object) -> object:
    """`[{"subject_common_name", "pem"}]` as DER, leaf first; anything else is left to the type."""
    if value is None:
        return ()
    if not isinstance(value, list):
        return value
    pems = [entry.get("pem") if isinstance(entry, Mapping) else None for entry in value]
    if not all(isinstance(pem, str) for pem in pems):
        raise ValueError("a chain with an entry that has no PEM")
    return certificates_of("\n".join(map(str, pems))) if pems else ()


def _nothing_as_none(value: object) -> object:
    return None if value in ([], {}, "") else value


def _nothing_as_empty(value: object) -> object:
    return () if value in (None, {}, "") else value


def _day(value: object) -> object:
    """The day of a date or of a timestamp; text that is neither counts as missing."""
    if not isinstance(value, str):
        return value
    try:
        return date.fromisoformat(value[:10])
    except ValueError:
        return None


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


Chain = Annotated[tuple[bytes, ...], BeforeValidator(_chain), Field(repr=False)]
"""DER certificates, leaf first, as the CA sent them: nothing about them has been verified."""
Day = Annotated[date | None, BeforeValidator(_day)]
Hex = Annotated[str | None, BeforeValidator(_lower)]
"""Hexadecimal digits in lower case."""
Status = Annotated[str, BeforeValidator(_lower)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_nothing_as_empty)]
Numbers = Annotated[tuple[int, ...], BeforeValidator(_nothing_as_empty)]


class _Answer(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="ignore", coerce_numbers_to_str=True, validate_by_name=True, validate_by_alias=True
    )

    @model_validator(mode="before")
    @classmethod
    def _tolerate_an_empty_list(cls, value: object) -> object:
        return {} if value == [] else value


class OrderBody(BaseModel):
    """An order as this project places them; exactly one of `expires_on` and `days` says for how long."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    common_name: str
    csr: str = Field(repr=False)
    """PKCS#10 in PEM. The CA takes the public key from it, and nothing else."""
    dns_names: tuple[str, ...] = ()
    signature_hash: Literal["sha256", "sha384", "sha512"] = "sha256"
    alternative_order_id: str = Field(min_length=1, max_length=128)
    """Ours, unique by our own care: the CA does not enforce it."""
    organization_id: int | None = None
    ca_cert_id: str | None = None
    profile_option: str | None = None
    expires_on: date | None = None
    """The last day (UTC) on which the certificate is valid."""
    days: int | None = Field(default=None, ge=1)
    skip_approval: bool = True
    comments: str | None = None
    container_id: int | None = None

    @model_validator(mode="after")
    def _has_one_term(self) -> Self:
        if (self.expires_on is None) == (self.days is None):
            raise ValueError("exactly one of expires_on and days is needed")
        return self

    def as_json(self) -> dict[str, object]:
        """The body of `POST /order/certificate/{name_id}`; what is not set is not sent."""
        return _without_none(
            {
                "certificate": _without_none(
                    {
                        "common_name": self.common_name,
                        "csr": self.csr,
                        "signature_hash": self.signature_hash,
                        "dns_names": list(self.dns_names),
                        "ca_cert_id": self.ca_cert_id,
                        "profile_option": self.profile_option,
                        "cert_validity": self._term(),
                    }
                ),
                "order_validity": self._term(),
                "organization": None if self.organization_id is None else {"id": self.organization_id},
                "container": None if self.container_id is None else {"id": self.container_id},
                "alternative_order_id": self.alternative_order_id,
                "skip_approval": self.skip_approval,
                "comments": self.comments,
            }
        )

    def _term(self) -> dict[str, object]:
        if self.expires_on is None:
            return {"days": self.days}
        return {"custom_expiration_date": self.expires_on.isoformat()}


class RequestStatus(_Answer):
    """The CA's own request inside an order: of type new_request, revoke, reissue or duplicate."""

    request_id: int = Field(validation_alias="id")
    status: Status = ""
    type: Annotated[str | None, BeforeValidator(_lower)] = None
    date: str | None = None
    comments: str | None = None


RequestStatuses = Annotated[tuple[RequestStatus, ...], BeforeValidator(_nothing_as_empty)]


class PlacedOrder(_Answer):
    """The CA's answer: a chain means issued, a certificate id alone validation, neither approval."""

    order_id: OrderId = Field(validation_alias="id")
    certificate_id: CertificateId | None = None
    chain: Chain = Field(default=(), validation_alias="certificate_chain")
    """DER, leaf first; empty unless the certificate was issued at once."""
    requests: RequestStatuses = ()


class CaCertificate(_Answer):
    """An issuing CA as orders and products name it; `id` is what `ca_cert_id` takes."""

    id: str
    name: str | None = None


class ProductReference(_Answer):
    """The product of an order."""

    name_id: str
    name: str | None = None
    type: str | None = None
    validation_type: str | None = None


class Organization(_Answer):
    """The organisation of an order."""

    id: int
    name: str | None = None


class CertificateInfo(_Answer):
    """The primary certificate of an order; before it is issued there is no serial, thumbprint or date."""

    certificate_id: CertificateId | None = Field(default=None, validation_alias="id")
    serial_number: Hex = None
    thumbprint: Hex = None
    common_name: str | None = None
    dns_names: Texts = ()
    signature_hash: str | None = None
    status: str | None = None
    """May be missing on a plain issued order."""
    valid_from: Day = None
    valid_till: Day = None
    date_created: str | None = None
    date_issued: str | None = None
    csr: str | None = Field(default=None, repr=False)
    ca_cert: Annotated[CaCertificate | None, BeforeValidator(_nothing_as_none)] = None


class OrderInfo(_Answer):
    """An order as the CA sees it now; `status` is an `OrderStatus` or a word that nobody documented."""

    order_id: OrderId = Field(validation_alias="id")
    status: Status
    certificate: CertificateInfo = CertificateInfo()
    product: Annotated[ProductReference | None, BeforeValidator(_nothing_as_none)] = None
    organization: Annotated[Organization | None, BeforeValidator(_nothing_as_none)] = None
    requests: RequestStatuses = ()
    alternative_order_id: str | None = None
    date_created: str | None = None
    order_valid_till: Day = None


class Copies(_Answer):
    """The reissues or the duplicates of an order."""

    certificates: Annotated[tuple[CertificateInfo, ...], BeforeValidator(_nothing_as_empty)] = ()


class OrderReference(_Answer):
    """An order in the status feed, or under an alternative id."""

    order_id: OrderId
    certificate_id: Annotated[CertificateId | None, BeforeValidator(_nothing_as_none)] = None
    status: Status


class AlternateOrder(OrderReference):
    """An order that the CA holds under one of our alternative ids."""


class StatusChange(OrderReference):
    """An order whose status changed, with the status that it has now; none where the CA does not say a readable one."""

    status: Annotated[str, BeforeValidator(lambda value: value.lower() if isinstance(value, str) else "")] = ""


class Page(_Answer):
    """Where a list stands in the whole."""

    total: int = 0
    limit: int = 0
    offset: int = 0


def _names_an_order(line: object) -> bool:
    try:
        StatusChange.model_validate(line)
    except ValidationError:
        return False
    return True


class AlternateOrders(_Answer):
    """One page of the orders under an alternative id."""

    orders: Annotated[tuple[AlternateOrder, ...], BeforeValidator(_nothing_as_empty)] = ()
    page: Page = Page()


class StatusChanges(_Answer):
    """The status feed; `{}` where nothing changed. It may have pages; where it says nothing of them, it has one."""

    orders: Annotated[tuple[StatusChange, ...], BeforeValidator(_nothing_as_empty)] = ()
    page: Page = Page()
    left_out: int = 0
    """How many lines name no order, beside others that do, which they must not hide. Without others, it is no feed."""

    @model_validator(mode="before")
    @classmethod
    def _leave_out_odd_lines(cls, value: object) -> object:
        lines = value.get("orders") if isinstance(value, Mapping) else None
        if not isinstance(value, Mapping) or not isinstance(lines, list):
            return value
        readable = [line for line in lines if _names_an_order(line)]
        return value if not readable else {**value, "orders": readable, "left_out": len(lines) - len(readable)}

    @property
    def lines(self) -> int:
        """How many lines it has, whether or not they can be read."""
        return len(self.orders) + self.left_out


class OrderPage(_Answer):
    """One page of the list of orders; the entries carry less than `DigiCertClient.order` gives."""

    orders: Annotated[tuple[OrderInfo, ...], BeforeValidator(_nothing_as_empty)] = ()
    page: Page = Page()


class HashType(_Answer):
    """A signature hash that a product can use: sha256, sha384 or sha512."""

    id: str
    name: str | None = None


class Product(_Answer):
    """What the CA says of a product, to this key; None wherever it says nothing, which is not a no."""

    name_id: str
    name: str | None = None
    group_name: str | None = None
    type: str | None = None
    validation_type: str | None = None
    allowed_validity_years: Numbers = ()
    allowed_order_validity_years: Numbers = ()
    allowed_container_ids: Numbers = ()
    allowed_hashes: Annotated[tuple[HashType, ...], BeforeValidator(_nothing_as_empty)] = Field(
        default=(), validation_alias=AliasPath("signature_hash_types", "allowed_hash_types")
    )
    default_hash: str | None = Field(
        default=None, validation_alias=AliasPath("signature_hash_types", "default_hash_type_id")
    )
    allowed_ca_certs: tuple[CaCertificate, ...] | None = None
    """None: the choice of an issuing CA does not apply here, or is not enabled for this account."""
    max_multi_year_order_validity_years: int | None = None
    additional_dns_names_allowed: bool | None = None
    duplicates_allowed: bool | None = None
    custom_expiration_date_allowed: bool | None = None
    custom_order_expiration_date_allowed: bool | None = None
    csr_required: bool | None = None


class ProductLimit(_Answer):
    """How a container limits a product for a role; empty lists say nothing."""

    product_name_id: str
    container_id: int | None = None
    role_id: int | None = None
    """0: every role."""
    allowed_hashes: Texts = ()
    allowed_intermediates: Texts = ()
    """What `ca_cert_id` takes."""
    allowed_lifetimes: Numbers = ()
    """In years."""
    allowed_order_lifetimes: Numbers = ()


class ProductLimits(_Answer):
    """The limits of a container; without any, every product that the account has may be ordered."""

    is_limited: bool = False
    product_limits: Annotated[tuple[ProductLimit, ...], BeforeValidator(_nothing_as_empty)] = ()


class Intermediate(_Answer):
    """An intermediate CA certificate that the account can meet; `thumbprint` is SHA-1 of the DER."""

    id: str
    subject_common_name: str | None = None
    subject_org_name: str | None = None
    issuer_common_name: str | None = None
    serial_number: Hex = None
    thumbprint: Hex = None
    signature_hash: str | None = None
    valid_from: Day = None
    valid_to: Day = None
    is_private: bool | None = None


class Intermediates(_Answer):
    """The list of intermediates."""

    intermediates: Annotated[tuple[Intermediate, ...], BeforeValidator(_nothing_as_empty)] = ()


class RevocationOutcome(BaseModel):
    """What became of a revocation: done (204), or a request that someone must approve (201)."""

    model_config = ConfigDict(frozen=True)

    request: RequestStatus | None = None

    @property
    def done(self) -> bool:
        """Whether the certificate is revoked already."""
        return self.request is None


class CaReason(_Answer):
    """One entry of the CA's error answer."""

    code: str = ""
    message: str = ""


class ErrorAnswer(_Answer):
    """The CA's error answer; some of its services send one object where the others send a list."""

    errors: Annotated[
        tuple[CaReason, ...], BeforeValidator(lambda value: [value] if isinstance(value, Mapping) else value)
    ] = Field(min_length=1)


def _without_none(fields: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None}
