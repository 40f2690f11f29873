"""The errors of the API, in the documented shape and with codes that are documented or were seen.

Guessed: which code a call gets that comes at the wrong time, such as cancelling what is issued, revoking what is not,
or deciding what was decided. `invalid_value` with the field that stands in the way stands in for it.
"""

from collections.abc import Mapping

from starlette.responses import JSONResponse


class ApiError(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message

    def response(self, headers: Mapping[str, str] | None = None) -> JSONResponse:
        return JSONResponse(error_body(self.code, self.message), self.status, headers=headers)


def error_body(code: str, message: str) -> dict[str, object]:
    return {"errors": [{"code": code, "message": message}]}


def not_found(what: str | None = None) -> ApiError:
    code = f"not_found|{what}" if what else "not_found"
    return ApiError(404, code, f"The requested {what or 'resource'} was not found.")


def invalid_value(field: str) -> ApiError:
    return ApiError(400, f"invalid_value:{field}", f"The value of {field} is not valid.")


def required(path: str) -> ApiError:
    return ApiError(400, f"required_param:{path}", f"The parameter {path} is required.")


def bad_format() -> ApiError:
    return ApiError(400, "bad_request_format", "The request body could not be read.")


def bad_csr() -> ApiError:
    return ApiError(400, "csr_invalid_cannot_parse", "The CSR could not be parsed.")


def missing_permission() -> ApiError:
    return ApiError(403, "access_denied|missing_permission", "This API key may not do that.")


def invalid_key() -> ApiError:
    return ApiError(403, "access_denied|access_denied_invalid_key", "The API key is not valid.")


def invalid_approver() -> ApiError:
    return ApiError(403, "access_denied|invalid_approver", "This API key may not approve this request.")


def too_many_requests() -> ApiError:
    return ApiError(429, "request_limit_exceeded", "Service unavailable, please limit request volume")
