"""The sandbox's own routes, under `/admin`: what tests and people steer it with. They ask for no key."""

from collections.abc import Callable

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.sandbox import views
from tests.sandbox.account import Sandbox
from tests.sandbox.calls import body_of, number_in
from tests.sandbox.errors import invalid_value
from tests.sandbox.knobs import Knobs
from tests.sandbox.listing import whole_number
from tests.sandbox.state import Order


class Advance(BaseModel):
    model_config = ConfigDict(extra="forbid")

    seconds: float = Field(ge=0)


def admin_routes(sandbox: Sandbox) -> list[Route]:
    ledger, panel, clock = sandbox.ledger, sandbox.panel, sandbox.clock

    async def calls(request: Request) -> Response:
        return JSONResponse(sandbox.calls.view(whole_number(request.query_params, "since", 0)))

    async def orders(_request: Request) -> Response:
        return JSONResponse({"orders": [views.placed_for_admin(order) for order in ledger.placed()]})

    async def knobs(_request: Request) -> Response:
        return JSONResponse(panel.knobs.model_dump(mode="json"))

    async def set_knobs(request: Request) -> Response:
        try:
            panel.knobs = panel.knobs.changed(await body_of(request))
        except ValidationError as error:
            raise _invalid(error) from None
        return await knobs(request)

    async def reset_knobs(request: Request) -> Response:
        panel.knobs = Knobs()
        return await knobs(request)

    async def time(_request: Request) -> Response:
        return JSONResponse({"now": clock.now(), "ahead": clock.ahead})

    async def advance(request: Request) -> Response:
        try:
            clock.advance(Advance.model_validate(await body_of(request)).seconds)
        except ValidationError as error:
            raise _invalid(error) from None
        return await time(request)

    async def set_status(request: Request) -> Response:
        status = (await body_of(request)).get("status")
        if not isinstance(status, str):
            raise invalid_value("status")
        return _changed(sandbox, request, lambda order: ledger.set_status(order, status))

    async def issue(request: Request) -> Response:
        return _changed(sandbox, request, ledger.issue)

    async def reject(request: Request) -> Response:
        return _changed(sandbox, request, ledger.reject)

    return [
        Route("/calls", calls),
        Route("/orders", orders),
        Route("/knobs", knobs, methods=["GET"]),
        Route("/knobs", set_knobs, methods=["POST"]),
        Route("/knobs", reset_knobs, methods=["DELETE"]),
        Route("/clock", time, methods=["GET"]),
        Route("/clock", advance, methods=["POST"]),
        Route("/orders/{order}/issue", issue, methods=["POST"]),
        Route("/orders/{order}/reject", reject, methods=["POST"]),
        Route("/orders/{order}/status", set_status, methods=["POST"]),
    ]


def _changed(sandbox: Sandbox, request: Request, change: Callable[[Order], None]) -> Response:
    order = sandbox.ledger.order(number_in(request, "order"))
    change(order)
    return JSONResponse(views.placed_for_admin(order))


def _invalid(error: ValidationError) -> Exception:
    return invalid_value(".".join(str(part) for part in error.errors()[0]["loc"]))
