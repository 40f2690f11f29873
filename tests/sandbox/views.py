"""What the API shows of orders, requests, products and intermediates: plain JSON values."""

from collections.abc import Mapping
from datetime import UTC, datetime

from cryptography import x509
from cryptography.x509.oid import NameOID

from tests.sandbox.authority import Authority, Issuer, serial_of, thumbprint_of
from tests.sandbox.catalogue import (
    CONTAINER_ID,
    HASHES,
    ORGANIZATION,
    PRIVATE_CA_CERT_ID,
    PRODUCTS,
    ProductEntry,
)
from tests.sandbox.state import OPEN_REQUESTS, Certificate, Order, Request

View = dict[str, object]


def placed(order: Order, request: Request, certificate: Certificate) -> View:
    """The answer to an order: a chain if issued, a certificate id if approved, neither if not.

    That this is how to tell them apart is what a client assumes; the fields alone are documented.
    """
    view: View = {"id": order.id, "requests": [{"id": request.id, "status": request.status}]}
    if certificate.status in {"approved", "issued"}:
        view["certificate_id"] = certificate.id
    if certificate.status == "issued":
        view["certificate_chain"] = chain_entries(certificate.chain)
    return view


def chain_entries(chain: tuple[str, ...]) -> list[View]:
    return [{"subject_common_name": _common_name(pem), "pem": pem} for pem in chain]


def order_info(order: Order, issuers: Mapping[str, Issuer], now: float) -> View:
    submission = order.submission
    return {
        **_order(order, certificate(order, order.current, issuers, now)),
        "requests": [_request_in_order(request) for request in order.requests],
        "renewed_order_id": 0,
        "is_renewal": False,
        "disable_renewal_notifications": False,
        "payment_method": "balance",
        **({"alternative_order_id": submission.alternative_order_id} if submission.alternative_order_id else {}),
        **({"comments": submission.comments} if submission.comments else {}),
    }


def order_entry(order: Order, issuers: Mapping[str, Issuer], now: float) -> View:
    """An order in the list, which says less than its own page."""
    shown = certificate(order, order.current, issuers, now)
    shown.pop("csr")
    return _order(order, shown)


def _order(order: Order, shown: View) -> View:
    return {
        "id": order.id,
        "status": order.status,
        "certificate": shown,
        "product": _product_reference(PRODUCTS[order.product]),
        "organization": {"id": ORGANIZATION.id, "name": ORGANIZATION.name},
        "container": {"id": CONTAINER_ID, "name": "Sandbox"},
        "date_created": timestamp(order.created),
        "is_renewed": False,
        "has_pending_request": any(request.status in OPEN_REQUESTS for request in order.requests),
    }


def order_reference(order: Order) -> View:
    return {"order_id": order.id, "certificate_id": order.current.id, "status": order.status}


def request_info(order: Order, request: Request) -> View:
    decided = {"date_processed": timestamp(request.processed)} if request.processed is not None else {}
    return {
        **_request_in_order(request),
        "requester": {"id": 1, "first_name": request.requester, "last_name": "Key"},
        "order": {
            "id": order.id,
            "status": order.status,
            "certificate": {"common_name": order.submission.certificate.common_name},
            "organization": {"id": ORGANIZATION.id, "name": ORGANIZATION.name},
            "container": {"id": CONTAINER_ID, "name": "Sandbox"},
            "product": _product_reference(PRODUCTS[order.product]),
        },
        "processor_comment": request.processor_comment,
        **decided,
    }


def product_info(product: ProductEntry, authority: Authority, *, ca_choice: bool) -> View:
    issuer = authority.issuers[product.ca_cert_id]
    chain = [{"id": product.ca_cert_id, "name": issuer_name(issuer)}]
    return {
        **({"allowed_ca_certs": [{**chain[0], "chain_info": chain}]} if ca_choice else {}),
        "group_name": product.group_name,
        "name_id": product.name_id,
        "name": product.name,
        "type": "ssl_certificate",
        "validation_type": product.validation_type,
        "allowed_container_ids": [CONTAINER_ID],
        "allowed_validity_years": ["1"],
        "allowed_order_validity_years": [1, 2, 3],
        "max_multi_year_order_validity_years": "3",
        "signature_hash_types": {
            "allowed_hash_types": [{"id": name, "name": name.upper()} for name in HASHES],
            "default_hash_type_id": "sha256",
        },
        "duplicates_allowed": True,
        "additional_dns_names_allowed": product.many_names,
        "increased_compatibility_allowed": False,
        "custom_expiration_date_allowed": True,
        "custom_order_expiration_date_allowed": True,
        "csr_required": True,
        "allow_auto_renew": False,
        "server_platforms": [
            {
                "id": 2,
                "name": "Apache",
                "install_url": "https://example.com",
                "csr_url": "https://example.com",
            },
            {
                "id": 45,
                "name": "nginx",
                "install_url": "https://example.com",
                "csr_url": "https://example.com",
            },
            {"id": -1, "name": "OTHER", "install_url": "", "csr_url": ""},
        ],
    }


def intermediate(ca_cert_id: str, issuer: Issuer) -> View:
    certificate = issuer.certificate
    return {
        "id": ca_cert_id,
        "subject_common_name": issuer_name(issuer),
        "subject_org_name": "Sandbox CA",
        "issuer_common_name": _attribute(certificate.issuer),
        "valid_from": f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M:%S}",
        "valid_to": f"{certificate.not_valid_after_utc:%Y-%m-%d %H:%M:%S}",
        "serial_number": serial_of(certificate),
        "thumbprint": thumbprint_of(certificate),
        "signature_hash": "sha256",
        "is_private": "1" if ca_cert_id == PRIVATE_CA_CERT_ID else "0",
    }


def product_limit(product: ProductEntry) -> View:
    return {
        "container_id": CONTAINER_ID,
        "role_id": 0,
        "product_name_id": product.name_id,
        "allowed_hashes": list(HASHES),
        "allowed_intermediates": [product.ca_cert_id],
        "allowed_lifetimes": [1],
        "allowed_order_lifetimes": [1, 2, 3],
    }


def placed_for_admin(order: Order) -> View:
    """An order as tests like to see it."""
    current = order.current
    return {
        "id": order.id,
        "status": order.status,
        "product": order.product,
        "common_name": order.submission.certificate.common_name,
        "names": list(order.submission.certificate.names),
        "alternative_order_id": order.submission.alternative_order_id,
        "certificate_id": current.id,
        "certificate_status": current.status if current.issued is not None else "",
        "serial_number": current.serial,
        "created": order.created,
        "certificates": [
            {"id": each.id, "kind": each.kind, "status": each.status, "serial_number": each.serial}
            for each in order.certificates
        ],
    }


def issuer_name(issuer: Issuer) -> str:
    return _attribute(issuer.certificate.subject)


def timestamp(instant: float) -> str:
    return datetime.fromtimestamp(instant, UTC).isoformat(timespec="seconds")


def certificate(order: Order, shown: Certificate, issuers: Mapping[str, Issuer], now: float) -> View:
    wanted = shown.wanted
    ca_cert_id = wanted.ca_cert_id or PRODUCTS[order.product].ca_cert_id
    view: View = {
        "id": shown.id,
        "common_name": wanted.common_name,
        "dns_names": list(wanted.names),
        "signature_hash": wanted.signature_hash,
        "date_created": timestamp(shown.created),
        "csr": wanted.csr,
        "organization": {"id": ORGANIZATION.id},
        "server_platform": {"id": -1, "name": "OTHER"},
        "ca_cert": {"id": ca_cert_id, "name": issuer_name(issuers[ca_cert_id])},
    }
    return view if shown.issued is None else view | _issued(shown, shown.issued, now)


def _issued(shown: Certificate, issued: float, now: float) -> View:
    """What only an issued certificate has."""
    leaf = shown.leaf
    return {
        "serial_number": shown.serial,
        "thumbprint": shown.thumbprint,
        "status": shown.status,
        "date_issued": timestamp(issued),
        "valid_from": f"{leaf.not_valid_before_utc:%Y-%m-%d}",
        "valid_till": f"{leaf.not_valid_after_utc:%Y-%m-%d}",
        "days_remaining": (leaf.not_valid_after_utc - datetime.fromtimestamp(now, UTC)).days,
    }


def _request_in_order(request: Request) -> View:
    return {
        "id": request.id,
        "date": timestamp(request.created),
        "type": request.type,
        "status": request.status,
        "comments": request.comments,
    }


def _product_reference(product: ProductEntry) -> View:
    return {
        "name_id": product.name_id,
        "name": product.name,
        "type": "ssl_certificate",
        "validation_type": product.validation_type,
    }


def _common_name(pem: str) -> str:
    return _attribute(x509.load_pem_x509_certificate(pem.encode()).subject)


def _attribute(name: x509.Name) -> str:
    return str(name.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
