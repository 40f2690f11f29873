"""Statements: what somebody said, with the signature that shows it. Signatures have a kind."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from shared.contracts.content import RequestContent
from shared.vocabulary.model import Model, is_none

MOST_JWS_BYTES = 262_144

CompactJws = Annotated[
    str, StringConstraints(max_length=MOST_JWS_BYTES, pattern=r"\A[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\z")
]


class JwsStatement(Model):
    """A compact JWS (RFC 7515) whose payload is the statement's exact bytes."""

    kind: Literal["jws"] = "jws"
    jws: CompactJws


class UnsignedSubmission(Model):
    """A submission without a signature, for systems of which the policy demands none.

    Its bytes, where evidence names them, are the canonical JSON of `content`.
    """

    kind: Literal["unsigned"] = "unsigned"
    content: RequestContent


SubmissionStatement = Annotated[JwsStatement | UnsignedSubmission, Field(discriminator="kind")]
DecisionStatement = JwsStatement
EditStatement = JwsStatement
ConfirmationStatement = JwsStatement


class RevisionStatement(JwsStatement):
    """A revision, signed by its duty; one that was edited comes with its editor's own statement."""

    edit: EditStatement | None = Field(default=None, exclude_if=is_none)
