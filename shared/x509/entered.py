"""What somebody enters beside a CSR, or in place of one."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from shared.vocabulary.model import Model
from shared.x509.extensions import MAX_EXTENSIONS, CertificateExtension
from shared.x509.names import MAX_ATTRIBUTES, Attribute, SubjectAltNames

MAX_ENTERED_NAMES = 250


def _not_too_many(names: object) -> object:
    """Counted before each of them is looked at, which takes a while."""
    kinds = names if isinstance(names, dict) else {}
    if sum(len(given) for given in kinds.values() if isinstance(given, list | tuple)) > MAX_ENTERED_NAMES:
        raise ValueError(f"at most {MAX_ENTERED_NAMES} names may be entered")
    return names


class EnteredValues(Model):
    """Values for the subject, alternative names and extensions: each takes the place of what the CSR says of it.

    An attribute that is entered replaces all values of its type, `names` all alternative names.
    """

    subject: Annotated[tuple[Attribute, ...], Field(max_length=MAX_ATTRIBUTES)] = ()
    names: Annotated[SubjectAltNames, BeforeValidator(_not_too_many)] = SubjectAltNames()
    extensions: Annotated[tuple[CertificateExtension, ...], Field(max_length=MAX_EXTENSIONS)] = ()
    """Those of the profile, and user-defined ones by OID."""
