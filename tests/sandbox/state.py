"""What the sandbox remembers: an order, its certificates, and DigiCert's own requests about them."""

from typing import Literal

from cryptography import x509
from pydantic import BaseModel

from tests.sandbox.submission import CertificatePart, Submission

Another = Literal["reissue", "duplicate"]
"""A further certificate of an order: in place of the present one, or beside it."""
Kind = Literal["primary", "reissue", "duplicate"]
RequestType = Literal["new_request", "reissue", "duplicate", "revoke"]
OPEN_REQUESTS = frozenset({"pending", "submitted"})


class Request(BaseModel):
    """DigiCert's own request: to place an order, to reissue or to duplicate a certificate, or to revoke."""

    id: int
    type: RequestType
    status: str
    created: float
    requester: str
    certificate_id: int
    """The certificate that this is about."""
    comments: str = ""
    processed: float | None = None
    processor_comment: str = ""
    whole_order: bool = False
    """Of a revocation: whether the order goes with its certificates."""


class Certificate(BaseModel):
    """A certificate of an order, issued or not; times are seconds since 1970."""

    id: int
    kind: Kind
    wanted: CertificatePart
    status: str
    """pending (its request waits), approved (its validation does), issued, rejected, revoked."""
    created: float
    due: float | None = None
    """When an approved one is issued; None: when someone says so."""
    issued: float | None = None
    revoked: float | None = None
    chain: tuple[str, ...] = ()
    """PEM, leaf first."""
    serial: str = ""
    thumbprint: str = ""

    @property
    def leaf(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.chain[0].encode())


class Order(BaseModel):
    """An order; times are seconds since 1970."""

    id: int
    product: str
    submission: Submission
    created: float
    certificates: list[Certificate]
    requests: list[Request] = []
    history: list[tuple[float, str]]
    """Every status that it had, with the instant from which on; the last one is its status now."""
    seeded: bool = False

    @property
    def status(self) -> str:
        return self.history[-1][1]

    @property
    def changed(self) -> float:
        return self.history[-1][0]

    @property
    def current(self) -> Certificate:
        """The certificate that the order's own page shows: the newest issued one that is no duplicate, or the first.

        Guessed for `reissue_pending`, where it is the certificate that is to be replaced.
        """
        issued = [each for each in self.certificates if each.kind != "duplicate" and each.issued is not None]
        return issued[-1] if issued else self.certificates[0]

    @property
    def waiting(self) -> list[Certificate]:
        """The certificates that are approved and not issued yet."""
        return [each for each in self.certificates if each.status == "approved"]

    def certificate(self, certificate_id: int) -> Certificate:
        return next(each for each in self.certificates if each.id == certificate_id)

    def turn(self, status: str, when: float) -> None:
        """From that instant on it has this status."""
        self.history.append((when, status))

    def as_of(self, instant: float) -> "Order":
        """The order as it was then; as it was first, if it is younger."""
        past = self.model_copy(deep=True)
        past.history = [entry for entry in self.history if entry[0] <= instant] or self.history[:1]
        for certificate in past.certificates:
            if certificate.revoked is not None and certificate.revoked > instant:
                certificate.status, certificate.revoked = "issued", None
            if certificate.issued is not None and certificate.issued > instant:
                certificate.status, certificate.issued = "approved", None
        for request in past.requests:
            if request.processed is not None and request.processed > instant:
                request.status, request.processed = "pending", None
        return past
