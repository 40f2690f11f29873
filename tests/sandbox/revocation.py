"""Revoking a certificate, or an order with all of them."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.sandbox import views
from tests.sandbox.account import Sandbox
from tests.sandbox.calls import body_of, caller
from tests.sandbox.errors import invalid_value
from tests.sandbox.roles import Power
from tests.sandbox.state import Certificate, Order

REASONS = frozenset({"unspecified", "keyCompromise", "affiliationChanged", "superseded", "cessationOfOperation"})


async def revocation(
    sandbox: Sandbox, request: Request, order: Order, certificate: Certificate, *, whole_order: bool
) -> Response:
    """204 for those who may skip approval and do, 201 with a request for the others, or as the knob says."""
    key = caller(request, Power.REVOKE)
    body = await body_of(request)
    if body.get("revocation_reason", "unspecified") not in REASONS:
        raise invalid_value("revocation_reason")
    mode = sandbox.panel.knobs.revoke
    skips = body.get("skip_approval") is True and key.may(Power.SKIP_REVOCATION_APPROVAL)
    if mode == "204" or (mode == "by-role" and skips):
        sandbox.ledger.revoke(order, certificate, whole_order=whole_order)
        return Response(status_code=204)
    comments = str(body.get("comments", body.get("comment", "")))
    made = sandbox.ledger.request_revocation(order, certificate, key, comments, whole_order=whole_order)
    return JSONResponse(views.request_info(order, made), 201)
