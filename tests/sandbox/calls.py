"""What every route asks of its call: whose key it is, the body, a number in the path."""

from starlette.requests import Request

from tests.sandbox.errors import bad_format, missing_permission, not_found
from tests.sandbox.gate import KEY_IN_SCOPE
from tests.sandbox.roles import ApiKey, Power
from tests.sandbox.views import View


def caller(request: Request, power: Power) -> ApiKey:
    """The key of this call; `ApiError` where it lacks the power."""
    key: ApiKey = request.scope[KEY_IN_SCOPE]
    if not key.may(power):
        raise missing_permission()
    return key


async def body_of(request: Request) -> View:
    """The JSON object that was sent."""
    try:
        body = await request.json()
    except ValueError:
        raise bad_format() from None
    if not isinstance(body, dict):
        raise bad_format()
    return body


def number_in(request: Request, name: str) -> int:
    """A part of the path as a number."""
    text = request.path_params[name]
    if not text.isascii() or not text.isdecimal():
        raise not_found()
    return int(text)
