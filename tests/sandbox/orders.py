"""The routes of orders, and of the CA's own requests about them."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.sandbox import feed, views
from tests.sandbox.account import Sandbox
from tests.sandbox.calls import body_of, caller, number_in
from tests.sandbox.errors import invalid_value, not_found
from tests.sandbox.listing import paged
from tests.sandbox.lists import ORDERS, REQUESTS
from tests.sandbox.revocation import revocation
from tests.sandbox.roles import Power
from tests.sandbox.state import Another, Order
from tests.sandbox.state import Request as CaRequest
from tests.sandbox.submission import parse_replacement, parse_submission, product_named


def order_routes(sandbox: Sandbox) -> list[Route]:
    ledger, issuers, now = sandbox.ledger, sandbox.authority.issuers, sandbox.clock.now

    async def place(request: Request) -> Response:
        key = caller(request, Power.ORDER)
        body = await body_of(request)
        product = product_named(request.path_params["order"], body)
        order = ledger.place(product, parse_submission(body), key)
        return JSONResponse(views.placed(order, order.requests[0], order.certificates[0]), 201)

    async def info(request: Request) -> Response:
        caller(request, Power.READ)
        order = sandbox.shown(ledger.order_by_any(request.path_params["order"]))
        return JSONResponse(views.order_info(order, issuers, now()))

    async def index(request: Request) -> Response:
        caller(request, Power.READ)
        query = dict(request.query_params)
        if sandbox.panel.knobs.ignore_status_filter:
            query.pop("filters[status]", None)
        orders, page = paged(ORDERS.listed(sandbox.all_shown(), query), query)
        entries = [views.order_entry(order, issuers, now()) for order in orders]
        return JSONResponse({"orders": entries, "page": page})

    async def alternate(request: Request) -> Response:
        caller(request, Power.READ)
        found = ledger.alternates(request.path_params["alternative"])
        if not found and sandbox.panel.knobs.unknown_alternate == "404":
            raise not_found("order")
        orders, page = paged(found, request.query_params)
        return JSONResponse({"orders": [views.order_reference(order) for order in orders], "page": page})

    async def status_changes(request: Request) -> Response:
        caller(request, Power.READ)
        knobs, query = sandbox.panel.knobs, request.query_params
        shown = sandbox.all_shown()
        found = feed.changed(shown, query, now(), includes_last_day=knobs.feed_includes_last_day)
        if knobs.empty_feed or not found:
            return JSONResponse({})
        if knobs.feed_limit is None:
            return JSONResponse({"orders": [views.order_reference(order) for order in found]})
        orders, page = paged(found, query, most=knobs.feed_limit)
        return JSONResponse({"orders": [views.order_reference(order) for order in orders], "page": page})

    async def revoke(request: Request) -> Response:
        order = ledger.order_by_any(request.path_params["order"])
        return await revocation(sandbox, request, order, order.current, whole_order=True)

    async def cancel(request: Request) -> Response:
        caller(request, Power.ORDER)
        body = await body_of(request)
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
        *_replacement_routes(sandbox, "reissue"),
        *_replacement_routes(sandbox, "duplicate"),
        Route("/order/alternate/{alternative}", alternate),
    ]


def _replacement_routes(sandbox: Sandbox, kind: Another) -> list[Route]:
    ledger, issuers = sandbox.ledger, sandbox.authority.issuers

    async def replace(request: Request) -> Response:
        key = caller(request, Power.ORDER)
        order = ledger.order_by_any(request.path_params["order"])
        wanted = parse_replacement(await body_of(request), sandbox.panel.knobs)
        made, certificate = ledger.replace(order, kind, wanted, key)
        return JSONResponse(views.placed(order, made, certificate), 201)

    async def index(request: Request) -> Response:
        caller(request, Power.READ)
        order = sandbox.shown(ledger.order_by_any(request.path_params["order"]))
        found = [each for each in order.certificates if each.kind == kind]
        now = sandbox.clock.now()
        entries = [{"status": each.status, **views.certificate(order, each, issuers, now)} for each in found]
        return JSONResponse({"certificates": entries})

    path = f"/order/certificate/{{order}}/{kind}"
    return [Route(path, index, methods=["GET"]), Route(path, replace, methods=["POST"])]


def request_routes(sandbox: Sandbox) -> list[Route]:
    ledger = sandbox.ledger

    async def index(request: Request) -> Response:
        caller(request, Power.READ)
        query = request.query_params
        every = ((order, entry) for order in ledger.orders() for entry in order.requests)
        entries, page = paged(REQUESTS.listed(every, query), query)
        return JSONResponse({"requests": [_shown(sandbox, *entry) for entry in entries], "page": page})

    async def info(request: Request) -> Response:
        caller(request, Power.READ)
        return JSONResponse(_shown(sandbox, *ledger.request(number_in(request, "request"))))

    async def decide(request: Request) -> Response:
        order, entry = ledger.request(number_in(request, "request"))
        key = caller(request, Power.APPROVE_REVOCATION if entry.type == "revoke" else Power.APPROVE_ORDER)
        body = await body_of(request)
        verdict = body.get("status")
        if verdict not in {"approved", "rejected"}:
            raise invalid_value("status")
        ledger.decide(order, entry, key, str(verdict), str(body.get("processor_comment", "")))
        return Response(status_code=204)

    return [
        Route("/request", index),
        Route("/request/{request}", info),
        Route("/request/{request}/status", decide, methods=["PUT"]),
    ]


def _shown(sandbox: Sandbox, order: Order, entry: CaRequest) -> views.View:
    stale = sandbox.panel.knobs.stale_requests
    return views.request_info(order.as_of(entry.created) if stale else order, entry)
