"""Settings of mails: what they may be, and that a mistake says what to do."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from services.intake.adapters.smtp import SmtpServer
from services.intake.config import IntakeSettings
from shared.errors import RefusedError
from tests.fakes.mails import mail_settings


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "::1"])
def test_a_server_on_this_machine_may_do_without_tls(host: str) -> None:
    assert mail_settings(host=host).tls == "none"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"host": "mail.example.com"}, '`tls = "none"` is for a server on this machine only'),
        ({"host": "10.0.0.1"}, "for a server on this machine only"),
        ({"username": "me"}, "`username` and `password_file` both"),
        ({"password_file": "p"}, "`username` and `password_file` both"),
        ({"ca_file": "c"}, "`ca_file` has no use"),
        ({"tls": "maybe"}, "tls"),
        ({"from_address": "Countersign <a@example.com>"}, "from_address"),
        ({"organisation": "Example\r\nBcc: a@example.com"}, "organisation"),
        ({"request_domains": ("Example.com",)}, "request_domains"),
        ({"tries": 0}, "tries"),
        ({"data_timeout_seconds": 599}, "data_timeout_seconds"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_a_mistake_says_what_to_do(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as mistaken:
        mail_settings(**changes)
    assert says in str(mistaken.value)


@pytest.mark.parametrize("step", [0.1, 30, 300])
def test_a_lease_outlasts_a_turn_and_the_longest_wait_for_the_word_of_the_server(step: float) -> None:
    settings = mail_settings(timeout_seconds=step)
    assert settings.data_timeout_seconds >= 600
    assert settings.lease_seconds > settings.turn_seconds + 2 * settings.data_timeout_seconds + 4 * step


def test_mail_is_off_unless_it_is_asked_for() -> None:
    assert IntakeSettings.model_fields["mail"].get_default() is None


def test_a_password_that_is_not_there_is_told_at_the_start(tmp_path: Path) -> None:
    settings = mail_settings(username="me", password_file=tmp_path / "none")
    with pytest.raises(RefusedError, match=r"config\.secret-unreadable.*none"):
        SmtpServer(settings)


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_certificates_that_cannot_be_read_are_told_at_the_start(content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "roots.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(RefusedError, match=r"config\.mail-ca-file.*roots\.pem"):
        SmtpServer(mail_settings(tls="starttls", ca_file=file))
