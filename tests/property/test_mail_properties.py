"""Mails: whatever a request holds, it makes no header, no second recipient and no markup."""

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from functools import cache
from html.parser import HTMLParser
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.intake.mail.addressing import is_deliverable
from services.intake.mail.composing import Composer, Letter
from services.intake.mail.model import Mail, News
from services.intake.mail.templates import Templates
from services.intake.model import RequestRecord
from shared.vocabulary.differences import Difference
from shared.vocabulary.findings import finding
from tests.fakes.samples import sample_aggregates

HEADERS = ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"]
HOSTILE = "x\r\nBcc: a@example.net\r\n\r\n<script>alert(1)</script>\u202e\x00{{ 7 * 7 }}{% raw %}=?utf-8?q?=0aBcc:?="
NASTY = (HOSTILE, "\n.\n", "\r", "\x85", "\u2028", "é" * 150, "", " ", "a" * 900)
TEXTS = st.text(max_size=200) | st.sampled_from(NASTY)
LOCAL = st.text("abcXYZ019.!#$%&'*+/=?^_`{|}~-", min_size=1, max_size=64)
DOMAIN = st.text("abc019.-", min_size=1, max_size=80)


@cache
def composer() -> Composer:
    return Composer(Templates(), "countersign@example.com", 'Exämple, Ltd <a@b> "x"', "Questions?\n-- \nUs")


def record(**changes: Any) -> RequestRecord:
    kept = sample_aggregates()[RequestRecord]
    assert isinstance(kept, RequestRecord)
    return kept.model_copy(update=changes)


def letter(news: News, to: str, said: RequestRecord) -> Letter:
    mail = Mail(id="0190a0c0-1111-7000-8000-000000000001", news=news, to=to, is_named=True, at_ms=0, sequence=3, due=0)
    return composer().letter(mail, said)


def read(content: bytes) -> EmailMessage:
    message: Any = message_from_bytes(content, policy=default)
    return message  # type: ignore[no-any-return]  # what this policy makes


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add(tag)
        assert not [name for name, _ in attrs if name not in {"style", "lang", "charset", "cellpadding"}]


@settings(max_examples=200, deadline=None)
@given(news=st.sampled_from(News), texts=st.tuples(TEXTS, TEXTS, TEXTS, TEXTS, TEXTS, TEXTS))
@example(News.PENDING, (HOSTILE,) * 6)
def test_no_text_of_a_request_makes_a_header_a_recipient_or_markup(news: News, texts: tuple[str, ...]) -> None:
    name, subject, message, reason, value, host = texts
    happening = (
        record()
        .happenings[0]
        .model_copy(
            update={
                "message": message,
                "findings": (finding("a.b", reason, value=value),),
                "differences": (Difference(what=value[:100] or "x", before=name, after=message),),
            }
        )
    )
    said = record(name=name, subject=subject, names=(host,), happenings=(happening,), serial_number=value)
    made = letter(news, "owner@example.com", said)
    head, _, _ = made.content.partition(b"\r\n\r\n")
    lines = head.decode("ascii").split("\r\n")
    assert [line.partition(":")[0] for line in lines if not line.startswith((" ", "\t"))] == HEADERS
    assert b"\r" not in made.content.replace(b"\r\n", b"")
    assert b"\n" not in made.content.replace(b"\r\n", b"")
    found = read(made.content)
    assert found.keys() == HEADERS
    assert str(found["To"]) == "owner@example.com"
    assert [address.addr_spec for address in found["From"].addresses] == ["countersign@example.com"]
    assert str(found["Subject"]).isprintable()
    assert [part.get_content_type() for part in found.iter_parts()] == ["text/plain", "text/html"]
    assert not found.defects
    text, markup = (str(part.get_content()) for part in found.iter_parts() if isinstance(part, EmailMessage))
    assert not [line for line in text.splitlines() if line.startswith(("Bcc:", "."))]
    tags = _Tags()
    tags.feed(markup)
    assert "script" not in tags.found
    assert letter(news, "owner@example.com", said) == made


@settings(max_examples=300, deadline=None)
@given(local=LOCAL, domain=DOMAIN)
@example("a..b", "example.com")
@example("=?utf-8?q?=0aBcc=3a_x?=", "example.com")
@example("a", "example..com")
@example("-", "-")
def test_what_counts_as_an_address_makes_one_recipient_and_nothing_else(local: str, domain: str) -> None:
    address = f"{local}@{domain}"
    if not is_deliverable(address):
        return
    made = letter(News.ISSUED, address, record())
    assert made.recipient == address
    assert [each.addr_spec for each in read(made.content)["To"].addresses] == [address]
