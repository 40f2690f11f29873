"""What somebody enters beside a CSR, or in place of one."""

from typing import Annotated

from pydantic import Field

from shared.vocabulary.model import Model
from shared.x509.extensions import MAX_EXTENSIONS, CertificateExtension
from shared.x509.names import MAX_ATTRIBUTES, Attribute, SubjectAltNames


class EnteredValues(Model):
    """Values for the subject, alternative names and extensions: each takes the place of what the CSR says of it.

    An attribute that is entered replaces all values of its type, `names` all alternative names.
    """

    subject: Annotated[tuple[Attribute, ...], Field(max_length=MAX_ATTRIBUTES)] = ()
    names: SubjectAltNames = SubjectAltNames()
    extensions: Annotated[tuple[CertificateExtension, ...], Field(max_length=MAX_EXTENSIONS)] = ()
    """Those of the profile, and user-defined ones by OID."""
