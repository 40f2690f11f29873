"""What a requester asks for."""

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from shared.contracts.sealed import SealedPassword
from shared.vocabulary.model import Model, is_none
from shared.vocabulary.names import (
    ApprovalGroupField,
    DnProfileField,
    EmailAddress,
    ExtensionProfileField,
    IdentityField,
    RequestIdField,
    SigningCertificateField,
)
from shared.x509.encryption import Pkcs12Encryption
from shared.x509.entered import EditedValues, EnteredValues

Line = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"\A[^\x00-\x1f\x7f\u2028\u2029]+\z")]
Notes = Annotated[str, StringConstraints(max_length=4_000)]
Emails = Annotated[tuple[EmailAddress, ...], Field(max_length=10)]


class WantedKey(Model):
    """A key pair that the issuer is to make once the request is approved, and what it is handed over in."""

    key_type: Annotated[str, StringConstraints(pattern=r"\A[a-z0-9-]{1,32}\z")]
    sealed_password: SealedPassword
    pkcs12: Pkcs12Encryption = Pkcs12Encryption.PBES2_AES_256
    """How key and certificate are encrypted under the password; `3des` is for old readers alone."""


class RequestContent(Model):
    """The content of a certificate request, as its requester wrote it."""

    request_id: RequestIdField
    """A new UUIDv7, chosen by the client: the same id with the same content repeats the answer."""
    name: Line
    method: Literal["csr", "generated"] = "csr"
    csr: Annotated[str, StringConstraints(min_length=1, max_length=65_536)] | None = Field(
        default=None, exclude_if=is_none
    )
    """PKCS#10 in PEM (RFC 7468)."""
    generated: WantedKey | None = Field(default=None, exclude_if=is_none)
    """In place of a CSR, where the issuer is to make the key pair."""
    signing_certificate: SigningCertificateField
    approval_group: ApprovalGroupField
    extension_profile: ExtensionProfileField
    dn_profile: DnProfileField
    entered: EnteredValues = EnteredValues()
    """Values beside the CSR, where the profiles let a requester enter them."""
    signature_hash: Annotated[str, StringConstraints(pattern=r"\A[a-z0-9-]{1,32}\z")] | None = None
    """With which the CA shall sign, such as `sha256`; without it, what the signing certificate names first."""
    expires_on: date | None = None
    """The certificate's last day, UTC; without it, the longest that the signing certificate allows."""
    notes: Notes = ""
    emails: Emails = ()
    on_behalf_of: IdentityField | None = None

    @model_validator(mode="after")
    def _fits_its_method(self) -> Self:
        if (self.csr is not None, self.generated is not None) != (self.method == "csr", self.method == "generated"):
            raise ValueError("a request of method csr has a `csr`, one of method generated has `generated` instead")
        return self

    @property
    def wanted_key_type(self) -> str | None:
        """Of which type a key pair is to be made, if one is."""
        return None if self.generated is None else self.generated.key_type


class EditedContent(Model):
    """What approvers may edit of a request, whole, as it shall be.

    Never the key, whom it is for, what issues it and who decides.
    """

    name: Line
    expires_on: date | None
    notes: Notes
    emails: Emails
    extension_profile: ExtensionProfileField
    entered: EditedValues
    """All that approvers have entered; what the requester did counts where this says nothing."""
