"""Reading an order's body as DigiCert does: everything from the body, only the key from the CSR."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from ipaddress import ip_address
from typing import Literal, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pydantic import BaseModel, Field, ValidationError

from tests.sandbox.catalogue import CONTAINER_ID, ORGANIZATION, ORGANIZATION_ID, PRODUCTS, ProductEntry
from tests.sandbox.errors import ApiError, bad_csr, invalid_value, not_found, required
from tests.sandbox.knobs import Knobs
from tests.sandbox.leaves import Leaf, PublicKey

MAX_ORDER_DAYS = 3 * 366
MIN_RSA_BITS = 2048
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})+")
_CURVES = (ec.SECP256R1, ec.SECP384R1)
_FRIDAY = 4

PartT = TypeVar("PartT", bound=BaseModel)


class Term(BaseModel):
    years: int | None = Field(default=None, ge=1)
    days: int | None = Field(default=None, ge=1)
    custom_expiration_date: str | None = None

    def last_day(self, first: date) -> date | None:
        """The last day of validity, if this says; a custom date goes before days, and days before years."""
        if self.custom_expiration_date is not None:
            return _custom_date(self.custom_expiration_date)
        if self.days is not None:
            return first + timedelta(days=self.days - 1)
        if self.years is not None:
            return first + timedelta(days=365 * self.years - 1)
        return None


class Reference(BaseModel):
    id: int


class CertificatePart(BaseModel):
    common_name: str
    csr: str
    signature_hash: Literal["sha256", "sha384", "sha512"]
    dns_names: list[str] = []
    ca_cert_id: str | None = None
    profile_option: Literal["server_client_auth_eku", "server_auth_only_eku"] | None = None
    cert_validity: Term | None = None
    organization_units: list[str] = []
    server_platform: Reference | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Every name once, the common name first."""
        return tuple(dict.fromkeys((self.common_name, *self.dns_names)))


class ProductPart(BaseModel):
    type_hint: str | None = None


class Submission(BaseModel):
    """The body of an order, as far as the sandbox looks at it."""

    certificate: CertificatePart
    organization: Reference
    order_validity: Term | None = None
    validity_years: int | None = Field(default=None, ge=1)
    validity_days: int | None = Field(default=None, ge=1)
    custom_expiration_date: str | None = None
    alternative_order_id: str | None = None
    container: Reference | None = None
    skip_approval: bool = False
    comments: str | None = None

    def order_term(self) -> Term:
        """The order's term: the preferred field, or the legacy ones at the root."""
        return self.order_validity or Term(
            years=self.validity_years,
            days=self.validity_days,
            custom_expiration_date=self.custom_expiration_date,
        )


class Replacement(BaseModel):
    """The body of a reissue or a duplicate, as far as the sandbox looks at it."""

    certificate: CertificatePart
    skip_approval: bool = False
    comments: str | None = None


def product_named(name_id: str, body: Mapping[str, object]) -> ProductEntry:
    """The product of the path; `ssl` lets the body's `product.type_hint` determine it.

    Raises:
        ApiError: there is no such product, or the hint leaves more than one.
    """
    if name_id == "ssl":
        hint = _part(ProductPart, body.get("product") or {}, "product").type_hint
        if hint != "private":
            raise ApiError(400, "ambiguous_product", "More than one product fits this order.")
        name_id = "private_ssl_flex"
    if name_id not in PRODUCTS:
        raise not_found("product")
    return PRODUCTS[name_id]


def parse_submission(body: Mapping[str, object]) -> Submission:
    """The body with every field that is needed, each of the right type.

    Raises:
        ApiError: `required_param:…` or `invalid_value:…` with the path of the first that is not.
    """
    return _part(Submission, body, "")


def parse_replacement(body: Mapping[str, object], knobs: Knobs) -> Replacement:
    """The same for a reissue or a duplicate."""
    replacement = _part(Replacement, body, "")
    if knobs.server_platform_required and replacement.certificate.server_platform is None:
        raise required("certificate.server_platform")
    return replacement


def replaced(submission: Submission, wanted: CertificatePart, ordered: date) -> Submission:
    """The submission with another certificate, which may last as long as the order of that day does."""
    end = submission.order_term().last_day(ordered)
    term = None if end is None else Term(custom_expiration_date=end.isoformat())
    return submission.model_copy(update={"certificate": wanted, "order_validity": term})


def leaf_for(product: ProductEntry, submission: Submission, knobs: Knobs, first: date) -> Leaf:
    """What the certificate would hold if it were issued on that day.

    Raises:
        ApiError: the order cannot be fulfilled.
    """
    certificate = submission.certificate
    _check_references(product, submission)
    _check_names(product, certificate)
    client_auth = certificate.profile_option == "server_client_auth_eku"
    if client_auth and not knobs.client_auth:
        raise invalid_value("certificate.profile_option")
    return Leaf(
        common_name=certificate.common_name,
        names=certificate.names,
        public_key=_public_key(certificate.csr),
        ca_cert_id=certificate.ca_cert_id or product.ca_cert_id,
        not_before=first,
        last_day=_last_day(product, submission, knobs, first),
        signature_hash=certificate.signature_hash,
        client_auth=client_auth,
        organization_units=tuple(certificate.organization_units) if product.private else (),
        organization_name=knobs.organization_name or ORGANIZATION.name,
        mutations=frozenset(knobs.mutate),
    )


def _part(model: type[PartT], value: object, prefix: str) -> PartT:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join([*([prefix] if prefix else []), *(str(part) for part in first["loc"])])
        raise (required if first["type"] == "missing" else invalid_value)(path) from None


def _check_references(product: ProductEntry, submission: Submission) -> None:
    if submission.organization.id != ORGANIZATION_ID:
        raise invalid_value("organization.id")
    if submission.container is not None and submission.container.id != CONTAINER_ID:
        raise invalid_value("container.id")
    if submission.certificate.ca_cert_id not in {None, product.ca_cert_id}:
        raise invalid_value("certificate.ca_cert_id")


def _check_names(product: ProductEntry, certificate: CertificatePart) -> None:
    if not _is_name(certificate.common_name, product):
        raise invalid_value("certificate.common_name")
    if not all(_is_name(name, product) for name in certificate.names):
        raise invalid_value("certificate.dns_names")
    if not product.many_names and len(certificate.names) > 1:
        raise invalid_value("certificate.dns_names")


def _is_name(name: str, product: ProductEntry) -> bool:
    """A host name; a private CA takes IP addresses, too."""
    try:
        ip_address(name)
    except ValueError:
        return bool(_HOST.fullmatch(name))
    return product.private


def _public_key(csr: str) -> PublicKey:
    try:
        request = x509.load_pem_x509_csr(csr.encode())
        key = request.public_key()
        proven = request.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature):
        raise bad_csr() from None
    if proven and isinstance(key, rsa.RSAPublicKey) and key.key_size >= MIN_RSA_BITS:
        return key
    if proven and isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES):
        return key
    raise bad_csr()


def _last_day(product: ProductEntry, submission: Submission, knobs: Knobs, first: date) -> date:
    order = submission.order_term()
    order_end = order.last_day(first)
    wanted = submission.certificate.cert_validity
    end = (wanted.last_day(first) if wanted else None) or order_end
    if end is None:
        raise required("order_validity")
    if order_end is not None and end > order_end:
        raise ApiError(400, "cert_validity_exceeds_order_validity", "The certificate would outlive its order.")
    if end < first or (order_end or end) - first > timedelta(days=MAX_ORDER_DAYS):
        raise invalid_value("order_validity")
    end = end if product.private else _public_limit(end, knobs, first)
    exact = (wanted or order).custom_expiration_date is not None
    return _friday(end) if knobs.off_weekends and not exact else end


def _friday(day: date) -> date:
    """The day itself, or the Friday before its weekend."""
    return day - timedelta(days=max(0, day.weekday() - _FRIDAY))


def _public_limit(end: date, knobs: Knobs, first: date) -> date:
    latest = first + timedelta(days=knobs.max_public_days - 1)
    if end > latest and knobs.over_long == "refuse":
        raise invalid_value("certificate.cert_validity")
    return min(end, latest)


def _custom_date(text: str) -> date:
    """`2026-11-23`, or `23 NOV 2026`."""
    for pattern in ("%Y-%m-%d", "%d %b %Y"):
        try:
            return datetime.strptime(text, pattern).replace(tzinfo=UTC).date()
        except ValueError:
            continue
    raise invalid_value("custom_expiration_date")
