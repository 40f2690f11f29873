"""A real SMTP server in the test's own event loop, which can come and go, with a certificate of a throw-away CA."""

import asyncio
import datetime as dt
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deploy.local.ports import LOOPBACK

USER, PASSWORD = "countersign", "a password for mail"
TAKEN = "250 OK"


@dataclass
class SmtpServer:
    """Keeps what it takes. Not started yet: until then nobody listens on its port."""

    tls: ssl.SSLContext | None = None
    implicit: bool = False
    login: bool = False
    answers: Callable[[str], str] = lambda _: TAKEN
    """What it says to each recipient."""
    letters: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    """Of each letter, the one of the envelope."""
    breaks: Callable[[], bool] = lambda: False
    """Whether it takes the next letter and hangs up before it says so."""
    late_seconds: float = 0.0
    """For how long it keeps whoever sent a letter waiting for its word."""
    sessions: int = 0
    port: int = 0
    _server: asyncio.Server | None = None
    _transports: list[asyncio.Transport] = field(default_factory=list)

    async def start(self) -> None:
        """Listen, on the same port again."""
        self._server = await asyncio.get_running_loop().create_server(
            self._protocol, LOOPBACK, self.port, ssl=self.tls if self.implicit else None
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Listen no more, and hang up."""
        if self._server is not None:
            self._server.close()
            for transport in self._transports:
                transport.abort()
            await self._server.wait_closed()

    def _protocol(self) -> SMTP:
        self.sessions += 1
        starttls = self.tls if not self.implicit else None
        return _Protocol(
            self,
            hostname="mail.example.com",
            tls_context=starttls,
            require_starttls=starttls is not None,
            auth_required=self.login,
            auth_require_tls=not self.implicit,
            authenticator=_authenticate,
            loop=asyncio.get_running_loop(),
        )

    async def handle_RCPT(  # noqa: N802 - the library's own name
        self, _: SMTP, __: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = self.answers(address)
        if answer == TAKEN:
            envelope.rcpt_tos.append(address)
            envelope.rcpt_options.extend(options)
        return answer

    async def handle_DATA(self, server: SMTP, _: Session, envelope: Envelope) -> str:  # noqa: N802 - the same
        content = envelope.content
        assert isinstance(content, bytes)
        message: Any = message_from_bytes(content, policy=default)
        self.letters.append(message)
        self.recipients += envelope.rcpt_tos
        await asyncio.sleep(self.late_seconds)
        if self.breaks():
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
        return TAKEN


class _Protocol(SMTP):
    def __init__(self, owner: SmtpServer, **options: Any) -> None:
        super().__init__(owner, **options)
        self._owner = owner

    def connection_made(self, transport: Any) -> None:
        self._owner._transports.append(transport)
        super().connection_made(transport)


def _authenticate(_: SMTP, __: Session, ___: Envelope, ____: str, data: LoginPassword) -> AuthResult:
    good = data.login == USER.encode() and data.password == PASSWORD.encode()
    return AuthResult(success=good, handled=False)


@cache
def _authority() -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    return _certificate("Test Mail Root", key, None, key, x509.BasicConstraints(ca=True, path_length=0)), key


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Certificate | None,
    signer: ec.EllipticCurvePrivateKey,
    *extensions: x509.ExtensionType,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    today, day = dt.datetime.now(dt.UTC), dt.timedelta(days=1)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - day)
        .not_valid_after(today + day)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
    return builder.sign(signer, hashes.SHA256())


def root_file(folder: Path) -> Path:
    """The certificate that vouches for these servers."""
    path = folder / "mail-root.pem"
    path.write_bytes(_authority()[0].public_bytes(serialization.Encoding.PEM))
    return path


def server_context(folder: Path, *, host: str = LOOPBACK) -> ssl.SSLContext:
    """What a server of this name or address shows."""
    root, signer = _authority()
    key = ec.generate_private_key(ec.SECP256R1())
    try:
        name: x509.GeneralName = x509.IPAddress(ip_address(host))
    except ValueError:
        name = x509.DNSName(host)
    leaf = _certificate("mail", key, root, signer, x509.SubjectAlternativeName([name]))
    path = folder / "mail-server.pem"
    path.write_bytes(
        leaf.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context
