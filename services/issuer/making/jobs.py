"""What goes through the pipe: JSON, with a password in it, which exists nowhere else in that form."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from services.issuer.making.ports import Made
from shared.vocabulary.findings import Finding
from shared.vocabulary.model import Blob, Model
from shared.x509.encryption import Pkcs12Encryption
from shared.x509.extensions import CertificateExtension
from shared.x509.names import DistinguishedName, SubjectAltNames

_Secret = Annotated[str, Field(repr=False)]


class MakeJob(Model):
    """See `ports.KeyMaker.make`."""

    job: Literal["make"] = "make"
    password: _Secret
    key_type: str
    subject: DistinguishedName
    names: SubjectAltNames
    extensions: tuple[CertificateExtension, ...]


class PackJob(Model):
    """See `ports.KeyMaker.pack`."""

    job: Literal["pack"] = "pack"
    password: _Secret
    pkcs8: Blob
    leaf: Blob
    chain: tuple[Blob, ...]
    friendly_name: str
    encryption: Pkcs12Encryption


class Answer(Model):
    """What became of a job: one of these."""

    made: Made | None = None
    packed: Blob | None = None
    findings: tuple[Finding, ...] = ()
    """The job is refused."""
    bug: str | None = None
    """The kind of error that nobody foresaw: its text might tell what it is about."""


JOBS: TypeAdapter[MakeJob | PackJob] = TypeAdapter(Annotated[MakeJob | PackJob, Field(discriminator="job")])
