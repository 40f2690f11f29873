"""What somebody enters beside a CSR, or in place of one."""

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from shared.vocabulary.model import Model
from shared.x509.extensions import MAX_EXTENSIONS, SUBJECT_ALT_NAME, CertificateExtension, ExtensionType
from shared.x509.names import MAX_ATTRIBUTES, Attribute, AttributeType, SubjectAltNames

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


class EditedValues(EnteredValues):
    """What approvers enter: it takes the place of what the requester entered, too, and can leave something out."""

    without_attributes: Annotated[tuple[AttributeType, ...], Field(max_length=MAX_ATTRIBUTES)] = ()
    """Attributes of the subject that the certificate shall not have, wherever they come from."""
    without_extensions: Annotated[tuple[ExtensionType, ...], Field(max_length=MAX_EXTENSIONS)] = ()
    """Extensions that it shall not have; `subjectAltName` stands for all alternative names."""

    @model_validator(mode="after")
    def _says_one_thing_of_each(self) -> Self:
        twice = {each.type for each in self.subject} & set(self.without_attributes)
        twice |= {each.type for each in self.extensions} & set(self.without_extensions)
        twice |= {SUBJECT_ALT_NAME} & set(self.without_extensions) if self.names.as_set() else set()
        if twice:
            raise ValueError(f"either entered or left out: {', '.join(sorted(twice))}")
        return self
