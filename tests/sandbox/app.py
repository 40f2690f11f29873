"""The routes: DigiCert's under `/services/v2`, and the sandbox's own under `/admin`."""

import io
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from tests.sandbox import views
from tests.sandbox.authority import Authority
from tests.sandbox.catalogue import CONTAINER_ID, PRODUCTS
from tests.sandbox.errors import (
    ApiError,
    bad_format,
    invalid_value,
    missing_permission,
    not_found,
    required,
)
from tests.sandbox.gate import KEY_IN_SCOPE, PREFIX, CallLog, Gate
from tests.sandbox.knobs import Knobs, Panel
from tests.sandbox.listing import listed, paged, whole_number
from tests.sandbox.roles import ApiKey, Power
from tests.sandbox.state import Ledger, Order
from tests.sandbox.submission import leaf_for, parse_submission, product_named
from tests.sandbox.views import View

MAX_FEED_SECONDS = 604_800
_PEM_FILE = "application/x-pem-file"
_PKCS7 = "application/x-pkcs7-certificates"
_SLICES = {
    "pem_all": slice(None),
    "pem_noroot": slice(0, -1),
    "pem_nointermediate": slice(0, 1),
    "crt": slice(0, 1),
    "pem": slice(0, 1),
}
_ZIPS = {
    "default": slice(None),
    "default_cer": slice(None),
    "default_pem": slice(None),
    "apache": slice(0, -1),
}


@dataclass
class Sandbox:
    """The account: its CA, its orders, its keys by value, its knobs and the record of calls."""

    authority: Authority
    ledger: Ledger
    keys: dict[str, ApiKey]
    panel: Panel
    calls: CallLog = field(default_factory=CallLog)

    @classmethod
    def opened(cls, folder: Path, keys: tuple[ApiKey, ...]) -> "Sandbox":
        """The account as it was left in this folder, or a new one."""
        authority = Authority(folder)
        panel = Panel()
        ledger = Ledger(folder, authority, panel)
        return cls(authority, ledger, {key.value: key for key in keys}, panel)


def build_app(sandbox: Sandbox) -> ASGIApp:
    """The whole server, as ASGI."""
    routes = [
        Mount(
            PREFIX,
            routes=[*_catalogue_routes(sandbox), *_order_routes(sandbox), *_certificate_routes(sandbox)],
        ),
        Mount("/admin", routes=_admin_routes(sandbox)),
    ]
    app = Starlette(routes=routes, exception_handlers={ApiError: _refused, HTTPException: _no_route})
    return Gate(app, sandbox.calls, sandbox.keys, sandbox.panel)


def _catalogue_routes(sandbox: Sandbox) -> list[Route]:
    authority = sandbox.authority

    async def products(request: Request) -> Response:
        _caller(request, Power.READ)
        return JSONResponse({"products": [views.product_info(product, authority) for product in PRODUCTS.values()]})

    async def product(request: Request) -> Response:
        _caller(request, Power.READ)
        name_id = request.path_params["name_id"]
        if name_id not in PRODUCTS:
            raise not_found("product")
        return JSONResponse(views.product_info(PRODUCTS[name_id], authority))

    async def intermediates(request: Request) -> Response:
        _caller(request, Power.READ)
        entries = [views.intermediate(ca_id, issuer) for ca_id, issuer in authority.issuers.items()]
        return JSONResponse({"intermediates": entries})

    async def product_limits(request: Request) -> Response:
        _caller(request, Power.READ)
        if request.path_params["container"] != str(CONTAINER_ID):
            raise not_found()
        limits = [views.product_limit(product) for product in PRODUCTS.values()]
        return JSONResponse({"is_limited": True, "product_limits": limits})

    return [
        Route("/product", products),
        Route("/product/{name_id}", product),
        Route("/certificate/intermediates", intermediates),
        Route("/container/{container}/product-limits", product_limits),
    ]


def _order_routes(sandbox: Sandbox) -> list[Route]:
    ledger, issuers = sandbox.ledger, sandbox.authority.issuers

    async def place(request: Request) -> Response:
        key = _caller(request, Power.ORDER)
        body = await _body(request)
        product = product_named(request.path_params["order"], body)
        submission = parse_submission(body)
        leaf_for(product, submission, sandbox.panel.knobs, datetime.now(UTC).date())
        return JSONResponse(views.placed_order(ledger.place(product, submission, key)), 201)

    async def info(request: Request) -> Response:
        _caller(request, Power.READ)
        return JSONResponse(views.order_info(ledger.order_by_any(request.path_params["order"]), issuers))

    async def index(request: Request) -> Response:
        _caller(request, Power.READ)
        orders, page = paged(listed(ledger.orders(), request.query_params), request.query_params)
        return JSONResponse({"orders": [views.order_entry(order, issuers) for order in orders], "page": page})

    async def alternate(request: Request) -> Response:
        _caller(request, Power.READ)
        found = ledger.alternates(request.path_params["alternative"])
        if not found:
            raise not_found("order")
        orders, page = paged(found, request.query_params)
        return JSONResponse({"orders": [views.order_reference(order) for order in orders], "page": page})

    async def status_changes(request: Request) -> Response:
        _caller(request, Power.READ)
        window = _feed_window(request)
        changed = [] if sandbox.panel.knobs.empty_feed else ledger.changed_since(time.time() - window)
        return JSONResponse({"orders": [views.order_reference(order) for order in changed]} if changed else {})

    async def revoke(request: Request) -> Response:
        return await _revocation(sandbox, request, ledger.order_by_any, whole_order=True)

    async def cancel(request: Request) -> Response:
        _caller(request, Power.ORDER)
        body = await _body(request)
        order = ledger.order_by_any(request.path_params["order"])
        if str(body.get("status")).lower() != "canceled":
            raise invalid_value("status")
        ledger.cancel(order)
        return Response(status_code=204)

    return [
        Route("/order/certificate", index),
        Route("/order/certificate/status-changes", status_changes),
        Route("/order/certificate/{order}", info, methods=["GET"]),
        Route("/order/certificate/{order}", place, methods=["POST"]),
        Route("/order/certificate/{order}/revoke", revoke, methods=["PUT"]),
        Route("/order/certificate/{order}/status", cancel, methods=["PUT"]),
        Route("/order/alternate/{alternative}", alternate),
        *_request_routes(sandbox),
    ]


def _request_routes(sandbox: Sandbox) -> list[Route]:
    ledger = sandbox.ledger

    async def index(request: Request) -> Response:
        _caller(request, Power.READ)
        wanted = {name: request.query_params.get(f"filters[{name}]") for name in ("type", "status")}
        entries = [
            views.request_info(order, entry)
            for order in ledger.orders()
            for entry in order.requests
            if wanted["type"] in {None, entry.type} and wanted["status"] in {None, entry.status}
        ]
        return JSONResponse({"requests": entries})

    async def info(request: Request) -> Response:
        _caller(request, Power.READ)
        return JSONResponse(views.request_info(*ledger.request(_number(request, "request"))))

    async def decide(request: Request) -> Response:
        order, entry = ledger.request(_number(request, "request"))
        _caller(request, Power.APPROVE_REVOCATION if entry.type == "revoke" else Power.APPROVE_ORDER)
        body = await _body(request)
        verdict = body.get("status")
        if verdict not in {"approved", "rejected"}:
            raise invalid_value("status")
        ledger.decide(order, entry, str(verdict), str(body.get("processor_comment", "")))
        return Response(status_code=204)

    return [
        Route("/request", index),
        Route("/request/{request}", info),
        Route("/request/{request}/status", decide, methods=["PUT"]),
    ]


def _certificate_routes(sandbox: Sandbox) -> list[Route]:
    ledger = sandbox.ledger

    async def download(request: Request) -> Response:
        _caller(request, Power.READ)
        order = ledger.order_of_certificate(request.path_params["certificate"])
        return _download(ledger.downloadable(order), request.path_params.get("format", "default"))

    async def download_order(request: Request) -> Response:
        _caller(request, Power.READ)
        order = ledger.order(_number(request, "order"))
        return _download(ledger.downloadable(order), request.path_params.get("format", "default"))

    async def download_platform(request: Request) -> Response:
        _caller(request, Power.READ)
        order = ledger.order_of_certificate(request.path_params["certificate"])
        return _download(ledger.downloadable(order), "pem_noroot")

    async def chain(request: Request) -> Response:
        _caller(request, Power.READ)
        order = ledger.downloadable(ledger.order_of_certificate(request.path_params["certificate"]))
        return JSONResponse({"intermediates": views.chain_entries(order.chain)})

    async def revoke(request: Request) -> Response:
        return await _revocation(sandbox, request, ledger.order_of_certificate, whole_order=False)

    return [
        Route("/certificate/download/order/{order}", download_order),
        Route("/certificate/download/order/{order}/format/{format}", download_order),
        Route("/certificate/{certificate}/download/format/{format}", download),
        Route("/certificate/{certificate}/download/platform", download),
        Route("/certificate/{certificate}/download/platform/{platform}", download_platform),
        Route("/certificate/{certificate}/chain", chain),
        Route("/certificate/{certificate}/revoke", revoke, methods=["PUT"]),
    ]


def _admin_routes(sandbox: Sandbox) -> list[Route]:
    ledger = sandbox.ledger

    async def calls(request: Request) -> Response:
        return JSONResponse(sandbox.calls.view(whole_number(request.query_params, "since", 0)))

    async def orders(_request: Request) -> Response:
        return JSONResponse({"orders": [views.placed_for_admin(order) for order in ledger.placed()]})

    async def knobs(_request: Request) -> Response:
        return JSONResponse(sandbox.panel.knobs.model_dump(mode="json"))

    async def set_knobs(request: Request) -> Response:
        try:
            sandbox.panel.knobs = sandbox.panel.knobs.changed(await _body(request))
        except ValidationError as error:
            raise invalid_value(".".join(str(part) for part in error.errors()[0]["loc"])) from None
        return await knobs(request)

    async def reset_knobs(request: Request) -> Response:
        sandbox.panel.knobs = Knobs()
        return await knobs(request)

    async def issue(request: Request) -> Response:
        order = ledger.order(_number(request, "order"))
        ledger.issue(order)
        return JSONResponse(views.placed_for_admin(order))

    async def reject(request: Request) -> Response:
        order = ledger.order(_number(request, "order"))
        ledger.reject(order)
        return JSONResponse(views.placed_for_admin(order))

    return [
        Route("/calls", calls),
        Route("/orders", orders),
        Route("/knobs", knobs, methods=["GET"]),
        Route("/knobs", set_knobs, methods=["POST"]),
        Route("/knobs", reset_knobs, methods=["DELETE"]),
        Route("/orders/{order}/issue", issue, methods=["POST"]),
        Route("/orders/{order}/reject", reject, methods=["POST"]),
    ]


async def _revocation(
    sandbox: Sandbox, request: Request, find: Callable[[str], Order], *, whole_order: bool
) -> Response:
    """204 for those who may skip approval and do, 201 with a request for the others, or as the knob says."""
    key = _caller(request, Power.REVOKE)
    body = await _body(request)
    order = find(request.path_params["order" if whole_order else "certificate"])
    _check_reason(body)
    mode = sandbox.panel.knobs.revoke
    skips = body.get("skip_approval") is True and key.may(Power.SKIP_REVOCATION_APPROVAL)
    if mode == "204" or (mode == "by-role" and skips):
        sandbox.ledger.revoke(order, whole_order=whole_order)
        return Response(status_code=204)
    comments = str(body.get("comments", body.get("comment", "")))
    made = sandbox.ledger.request_revocation(order, key, comments, whole_order=whole_order)
    return JSONResponse(views.request_info(order, made), 201)


def _check_reason(body: View) -> None:
    known = {"unspecified", "keyCompromise", "affiliationChanged", "superseded", "cessationOfOperation"}
    if body.get("revocation_reason", "unspecified") not in known:
        raise invalid_value("revocation_reason")


def _download(order: Order, name: str) -> Response:
    if name in _SLICES:
        return Response("".join(order.chain[_SLICES[name]]), media_type=_PEM_FILE)
    if name in {"p7b", "cer"}:
        certificates = [x509.load_pem_x509_certificate(pem.encode()) for pem in order.chain]
        return Response(pkcs7.serialize_certificates(certificates, Encoding.PEM), media_type=_PKCS7)
    if name in _ZIPS:
        return Response(_zipped(order.chain[_ZIPS[name]]), media_type="application/zip")
    raise invalid_value("format_type")


def _zipped(chain: tuple[str, ...]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, pem in zip(("certificate.crt", "intermediate.crt", "root.crt"), chain, strict=False):
            archive.writestr(name, pem)
    return content.getvalue()


def _feed_window(request: Request) -> int:
    """How many seconds the feed is to reach back."""
    query = request.query_params
    if not {"minutes", "seconds"} & query.keys():
        raise required("minutes")
    seconds = 60 * whole_number(query, "minutes", 0) + whole_number(query, "seconds", 0)
    if seconds > MAX_FEED_SECONDS:
        raise ApiError(400, "time_frame_too_long", "The time frame is longer than a week.")
    return seconds


def _caller(request: Request, power: Power) -> ApiKey:
    key: ApiKey = request.scope[KEY_IN_SCOPE]
    if not key.may(power):
        raise missing_permission()
    return key


async def _body(request: Request) -> View:
    try:
        body = await request.json()
    except ValueError:
        raise bad_format() from None
    if not isinstance(body, dict):
        raise bad_format()
    return body


def _number(request: Request, name: str) -> int:
    text = request.path_params[name]
    if not text.isascii() or not text.isdecimal():
        raise not_found()
    return int(text)


async def _refused(_request: Request, error: Exception) -> Response:
    if not isinstance(error, ApiError):
        raise error
    return error.response()


async def _no_route(_request: Request, _error: Exception) -> Response:
    return not_found("route").response()
