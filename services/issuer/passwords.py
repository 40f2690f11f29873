"""Sealed passwords: opened by the issuer alone, checked right after acceptance and again before anything is made."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from shared.clock import Clock
from shared.contracts import events
from shared.errors import RefusedError
from shared.evidence.anchor import Anchor
from shared.evidence.in_force import PolicyInForce
from shared.evidence.steps import Revision
from shared.evidence.verification import verify_revision
from shared.messaging.messages import Outcome, Received, publish_news
from shared.observability.metrics import EvidenceMetrics
from shared.password import Password
from shared.password_policy import check_password
from shared.policy.model import GeneratedRules
from shared.policy.policy import Policy
from shared.sealing import OpeningKey, open_sealed
from shared.vocabulary.findings import Finding, finding

log = structlog.get_logger()


@dataclass(frozen=True)
class Passwords:
    """Opens sealed passwords, and keeps none."""

    keys: Sequence[OpeningKey]

    def opened(self, revision: Revision) -> Password:
        """The password of this request, which may take a tenth of a second to judge: not for the event loop.

        Raises:
            RefusedError: `password.*`, it can't be opened, was sealed for another request, or is not good enough.
        """
        password = self.read(revision)
        words = [revision.name, str(revision.subject), *revision.requesters, *(name for _, name in _names(revision))]
        rules = revision.policy.generated or GeneratedRules()
        findings = check_password(password.reveal(), rules.password, words=words)
        if findings:
            raise RefusedError.of(findings)
        return password

    def read(self, revision: Revision) -> Password:
        """The same, whatever it is worth by now: for what was made with it already.

        Raises:
            RefusedError: `password.*`, it can't be opened, or was sealed for another request.
        """
        if revision.generated is None:
            raise RefusedError(finding("password.not-sealed", "no password came with this request"))
        return open_sealed(revision.generated.sealed_password, revision.request_id, self.keys)


def _names(revision: Revision) -> list[tuple[str, str]]:
    return sorted(revision.names.as_set())


@dataclass(frozen=True)
class PasswordAskedHandler:
    """Tells approval whether the issuer can use the password of a request, and keeps nothing of it."""

    passwords: Passwords
    in_force: PolicyInForce
    metrics: EvidenceMetrics
    clock: Clock

    async def __call__(self, message: Received[events.PasswordAsked]) -> Outcome:
        """Handle the question: only of what a requester really asked for is anything said."""
        findings = await asyncio.to_thread(self._findings, message.data, self.in_force.anchor)
        for found in findings:
            self.metrics.refused(found.code)
        news = events.PasswordChecked(request_id=message.data.request_id, findings=findings)
        serial, now = self.in_force.policy.serial, self.clock.now()
        told = publish_news(news, about=news.request_id, origin=message.id, policy_serial=serial, at=now)
        return Outcome(publish=(told,))

    def _findings(self, asked: events.PasswordAsked, anchor: Anchor) -> tuple[Finding, ...]:
        try:
            _, verified = verify_revision(asked.evidence, anchor, now=self.clock.now())
            if verified.revision.request_id != asked.request_id:
                return (finding("evidence.request-differs", "the evidence is about another request"),)
            self.passwords.opened(verified.revision)
        except RefusedError as refused:
            return refused.findings
        return ()


def read_opening_keys(files: Sequence[Path]) -> tuple[OpeningKey, ...]:
    """The opening keys in these files.

    Raises:
        RefusedError: `config.key-unreadable`, one of them is none.
    """
    try:
        return tuple(OpeningKey.from_file(file) for file in files)
    except OSError as error:
        text = f"{error.filename}: {error.strerror}"
        raise RefusedError(finding("config.key-unreadable", text)) from None
    except ValueError as error:
        raise RefusedError(finding("config.key-unreadable", str(error))) from None


def tell_missing(passwords: Passwords, policy: Policy) -> None:
    """Say in the log which keys requesters seal to that cannot be opened here."""
    missing = {key.kid for key in policy.opening_keys} - {key.kid for key in passwords.keys}
    if missing:
        log.error("passwords are sealed to keys that are not here: see opening_key_files", missing=sorted(missing))
