"""A mail as bytes (RFC 5322), which no text of a request can give a header. Pure, no I/O."""

from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP

from services.intake.mail.content import content_of
from services.intake.mail.model import Mail
from services.intake.mail.templates import Templates
from services.intake.model import RequestRecord

STRICT = SMTP.clone(raise_on_defect=True)
HEADERS = ("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type")
_ENCODED_WORD = "=?"
"""How an encoded word begins (RFC 2047 §2). Text is never one: the library would decode it, line breaks and all."""


@dataclass(frozen=True)
class Letter:
    """A mail ready to be sent."""

    sender: str
    recipient: str
    content: bytes


@dataclass(frozen=True)
class Composer:
    """Writes mails; the same one is the same to the byte whenever it is written of the same record."""

    templates: Templates
    from_address: str
    organisation: str
    footer: str

    def letter(self, mail: Mail, record: RequestRecord) -> Letter:
        """This mail, with a Message-ID that is always its own."""
        written = self.templates.write(content_of(mail, record, organisation=self.organisation, footer=self.footer))
        message = EmailMessage(policy=STRICT)
        message["From"] = Address(self.organisation, addr_spec=self.from_address)
        message["To"] = Address(addr_spec=mail.to)
        message["Subject"] = written.subject.replace(_ENCODED_WORD, "= ?")
        message["Date"] = datetime.fromtimestamp(mail.at_ms / 1000, UTC)
        message["Message-ID"] = f"<{mail.id}@{self.from_address.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834 §5: no machine answers it
        message.set_content(written.text, cte="quoted-printable")
        message.add_alternative(written.html, subtype="html", cte="quoted-printable")
        message.set_boundary(f"=_{mail.id}")  # no quoted-printable text has `=_`
        return Letter(self.from_address, mail.to, _checked(message.as_bytes()))


def _checked(content: bytes) -> bytes:
    """These bytes, if they have our headers and no other, whatever the library made of them."""
    head, _, _ = content.partition(b"\r\n\r\n")
    lines = head.decode("ascii").replace("\r\n", "\n").splitlines()
    names = tuple(line.partition(":")[0] for line in lines if not line.startswith((" ", "\t")))
    if names != HEADERS:
        raise ValueError(f"a mail would have had the headers {names}")
    return content
