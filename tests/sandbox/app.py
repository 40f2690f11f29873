"""The whole server: DigiCert's routes under `/services/v2`, and the sandbox's own under `/admin`."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from tests.sandbox import views
from tests.sandbox.account import Sandbox
from tests.sandbox.admin import admin_routes
from tests.sandbox.calls import caller
from tests.sandbox.catalogue import CONTAINER_ID, PRODUCTS
from tests.sandbox.certificates import certificate_routes
from tests.sandbox.errors import ApiError, invalid_value, not_found
from tests.sandbox.gate import PREFIX, Gate
from tests.sandbox.orders import order_routes, request_routes
from tests.sandbox.roles import Power


def build_app(sandbox: Sandbox) -> ASGIApp:
    """The server for this account, as ASGI."""
    routes = [
        *_catalogue_routes(sandbox),
        *order_routes(sandbox),
        *request_routes(sandbox),
        *certificate_routes(sandbox),
    ]
    app = Starlette(
        routes=[Mount(PREFIX, routes=routes), Mount("/admin", routes=admin_routes(sandbox))],
        exception_handlers={ApiError: _refused, HTTPException: _no_route},
    )
    return Gate(app, sandbox.calls, sandbox.keys, sandbox.panel, sandbox.clock.now)


def _catalogue_routes(sandbox: Sandbox) -> list[Route]:
    authority, panel = sandbox.authority, sandbox.panel

    async def products(request: Request) -> Response:
        caller(request, Power.READ)
        choice = panel.knobs.ca_choice
        entries = [views.product_info(each, authority, ca_choice=choice) for each in PRODUCTS.values()]
        return JSONResponse({"products": entries})

    async def product(request: Request) -> Response:
        caller(request, Power.READ)
        name_id = request.path_params["name_id"]
        if name_id not in PRODUCTS:
            raise not_found("product")
        if request.query_params.get("container_id", str(CONTAINER_ID)) != str(CONTAINER_ID):
            raise invalid_value("container_id")
        return JSONResponse(views.product_info(PRODUCTS[name_id], authority, ca_choice=panel.knobs.ca_choice))

    async def intermediates(request: Request) -> Response:
        caller(request, Power.READ)
        entries = [views.intermediate(ca_id, issuer) for ca_id, issuer in authority.issuers.items()]
        return JSONResponse({"intermediates": entries})

    async def product_limits(request: Request) -> Response:
        caller(request, Power.READ)
        if request.path_params["container"] != str(CONTAINER_ID):
            raise not_found()
        if not panel.knobs.product_limits:
            return JSONResponse({"is_limited": False})
        limits = [views.product_limit(product) for product in PRODUCTS.values()]
        return JSONResponse({"is_limited": True, "product_limits": limits})

    return [
        Route("/product", products),
        Route("/product/{name_id}", product),
        Route("/certificate/intermediates", intermediates),
        Route("/container/{container}/product-limits", product_limits),
    ]


async def _refused(_request: Request, error: Exception) -> Response:
    if not isinstance(error, ApiError):
        raise error
    return error.response()


async def _no_route(_request: Request, _error: Exception) -> Response:
    return not_found("route").response()
