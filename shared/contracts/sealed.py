"""A password that only the issuer can read, as a field: anything else in its place is refused, and not repeated."""

from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from shared.errors import RefusedError
from shared.sealing import kid_of_sealed

MOST_SEALED = 4_096
"""Characters: what is sealed always has the same size, which is less."""


def _sealed(text: str) -> str:
    try:
        kid_of_sealed(text)
    except RefusedError:
        # What was sent is not repeated: it may be the very password.
        raise ValueError("this is no password sealed for the issuer") from None
    return text


SealedPassword = Annotated[
    str,
    StringConstraints(max_length=MOST_SEALED, pattern=r"\A[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+){4}\z"),
    AfterValidator(_sealed),
]
"""A compact JWE as `shared.sealing` makes it, with the request's id inside."""
