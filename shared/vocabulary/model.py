"""The one way models are made here: frozen, strict about unknown fields, canonical as bytes."""

import hashlib
import json
from base64 import b64decode, b64encode
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, ValidationError

from shared.errors import RefusedError
from shared.vocabulary.findings import Finding, finding
from shared.vocabulary.names import Digest

MAX_REPORTED_MISTAKES = 20


def _from_base64(value: object) -> object:
    if not isinstance(value, str):
        return value
    data = b64decode(value, validate=True)
    if b64encode(data).decode() != value:  # one text only for the same bytes
        raise ValueError("this is not canonical base64")
    return data


def _to_base64(value: bytes) -> str:
    return b64encode(value).decode()


Blob = Annotated[bytes, BeforeValidator(_from_base64), PlainSerializer(_to_base64, when_used="json")]
"""Bytes that are base64 (RFC 4648 §4) in JSON."""


def is_none(value: object) -> bool:
    """Whether a field can be left out: what was written before there was such a field keeps its bytes."""
    return value is None


class Model(BaseModel):
    """A frozen value object; a field that it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def canonical(self) -> bytes:
        """This value as canonical JSON: sorted keys, no white space, UTF-8."""
        return canonical_json(self.model_dump(mode="json"))

    @classmethod
    def read(cls, data: bytes | str, *, code: str) -> Self:
        """Parse JSON text strictly.

        Raises:
            RefusedError: with one finding under `code` for each mistake, saying where it is.
        """
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise RefusedError.of(mistakes(error, code=code)) from None


def canonical_json(value: object) -> bytes:
    """`value` as JSON with sorted keys and no white space, in UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest_of(data: bytes) -> Digest:
    """The SHA-256 of these exact bytes, as evidence names them."""
    return Digest("sha256:" + hashlib.sha256(data).hexdigest())


def mistakes(error: ValidationError, *, code: str) -> list[Finding]:
    """Each mistake that pydantic found, as a finding; input values that may be secret are left out."""
    return [
        finding(code, f"{'.'.join(str(part) for part in mistake['loc']) or 'the whole'}: {mistake['msg']}")
        for mistake in error.errors(include_url=False, include_context=False, include_input=False)[
            :MAX_REPORTED_MISTAKES
        ]
    ]
