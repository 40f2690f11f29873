"""Names and identifiers, each with a type of its own and the pattern that it must match."""

from typing import Annotated, NewType

from pydantic import StringConstraints

_NAME = StringConstraints(pattern=r"\A[A-Za-z0-9](?:[A-Za-z0-9-]{0,62}[A-Za-z0-9])?\z")
_UUID = StringConstraints(pattern=r"\A[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\z")
_UUID7 = StringConstraints(pattern=r"\A[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\z")
_DIGEST = StringConstraints(pattern=r"\Asha256:[0-9a-f]{64}\z")

IdentityName = NewType("IdentityName", str)
"""A system, a person or a duty, as the broker knows it."""
PersonName = NewType("PersonName", str)
"""A human being: the unit in which a quorum is counted."""
ApprovalGroupName = NewType("ApprovalGroupName", str)
SigningCertificateName = NewType("SigningCertificateName", str)
ExtensionProfileName = NewType("ExtensionProfileName", str)
DnProfileName = NewType("DnProfileName", str)
RequestId = NewType("RequestId", str)
"""A UUIDv7 in lower case, chosen by the client."""
MessageId = NewType("MessageId", str)
"""A UUID in lower case."""
Digest = NewType("Digest", str)
"""`sha256:` and 64 lower-case hexadecimal digits."""
OrderId = NewType("OrderId", int)
"""DigiCert's number of an order."""
CertificateId = NewType("CertificateId", int)
"""DigiCert's number of a certificate."""

# The same types as fields of a contract: pydantic checks the pattern on the way in.
# A name is made of letters, digits and inner hyphens, so that no routing key can be stretched by one.
IdentityField = Annotated[IdentityName, _NAME]
PersonField = Annotated[PersonName, _NAME]
ApprovalGroupField = Annotated[ApprovalGroupName, _NAME]
SigningCertificateField = Annotated[SigningCertificateName, _NAME]
ExtensionProfileField = Annotated[ExtensionProfileName, _NAME]
DnProfileField = Annotated[DnProfileName, _NAME]
RequestIdField = Annotated[RequestId, _UUID7]
MessageIdField = Annotated[MessageId, _UUID]
DigestField = Annotated[Digest, _DIGEST]
SerialNumber = Annotated[str, StringConstraints(pattern=r"\A[0-9a-f]{1,40}\z")]
"""A certificate's, in lower-case hexadecimal digits without leading zeros."""
EmailAddress = Annotated[
    str,
    StringConstraints(max_length=254, pattern=r"\A[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,189}\z"),
]
"""An address for mail (RFC 5321), without comments and quoted parts."""
