"""Revocations that wait until people confirm them: where the policy demands it, and never after a key compromise."""

from collections.abc import Callable
from dataclasses import dataclass

from services.revoker import rules
from services.revoker.handlers import named
from services.revoker.model import Asked, Certificate
from services.revoker.ports import CertificateStore
from shared.clock import Clock
from shared.contracts import commands, events, replies
from shared.errors import RefusedError
from shared.evidence.in_force import PolicyInForce
from shared.evidence.revocations import read_confirmation
from shared.evidence.steps import RevocationConfirmation
from shared.messaging.messages import Outcome, Outgoing, Received, publish_event, reply_ok
from shared.messaging.schedule import milliseconds
from shared.policy.policy import Policy
from shared.vocabulary.findings import finding
from shared.vocabulary.names import IdentityName
from shared.vocabulary.permissions import Permission
from shared.vocabulary.revocations import CertificateState, Confirmation

KIND = {commands.ConfirmRevocation: Confirmation.CONFIRM, commands.DenyRevocation: Confirmation.DENY}
SEES = (Permission.REVOKE, Permission.DECIDE, Permission.AUDIT)
"""Whoever has one of these for a group is shown its revocations."""


@dataclass(frozen=True)
class ConfirmationHandler:
    """Takes a person's signed word on a revocation that waits; with enough of them it goes to the CA."""

    certificates: CertificateStore
    in_force: PolicyInForce
    clock: Clock
    offer: Callable[[Certificate], None]

    async def __call__(self, message: Received[commands.ConfirmRevocation | commands.DenyRevocation]) -> Outcome:
        """Handle the command."""
        known = await self.certificates.load(message.data.request_id)
        stored = known and known.outcome_of(message.id)
        if stored:
            return stored
        now, policy = self.clock.now(), self.in_force.policy
        if known is None or not _decides(known, message.sender, policy):
            raise _unknown(message.data.request_id)
        said = read_confirmation(message.data.confirmation.jws, self.in_force.anchor, now=now)
        asked = _check(known, said, message, policy)
        changed = (
            _confirmed(known, asked, message, policy=policy, due=milliseconds(now.timestamp()))
            if said.confirmation is Confirmation.CONFIRM
            else _denied(known, said)
        )
        publish: tuple[Outgoing, ...] = (reply_ok(message, _result(changed), _TEXTS[changed.state], at=now),)
        if said.confirmation is Confirmation.DENY:
            event = events.RevocationFailed(
                request_id=known.id,
                approval_group=known.approval_group,
                reason=said.reason,
                findings=changed.asked.findings,
            )
            told = publish_event(
                event, origin=message.id, sequence=changed.sequence, policy_serial=policy.serial, at=now
            )
            publish = (told, *publish)
        written = await self.certificates.replace(changed.followed_by(message.id, *publish))
        if written.state is CertificateState.REVOKING:
            self.offer(written)
        return Outcome(publish=publish)


@dataclass(frozen=True)
class ShowRevocationHandler:
    """Tells where the revocation of a certificate stands."""

    certificates: CertificateStore
    in_force: PolicyInForce
    clock: Clock

    async def __call__(self, message: Received[commands.ShowRevocation]) -> Outcome:
        """Handle the question."""
        policy = self.in_force.policy
        found = [each for each in await named(self.certificates, message.data) if _sees(each, message.sender, policy)]
        if not found:
            raise _unknown(message.data.named)
        if len(found) > 1:
            raise rules.ambiguous(found, message.data.named)
        if found[0].revocation is None:
            raise RefusedError(finding("revocation.none", "nobody has asked for its revocation", value=found[0].id))
        result = _result(found[0])
        return Outcome(publish=(reply_ok(message, result, _TEXTS[found[0].state], at=self.clock.now()),))


@dataclass(frozen=True)
class ListRevocationsHandler:
    """Lists the revocations of one's groups."""

    certificates: CertificateStore
    in_force: PolicyInForce
    clock: Clock

    async def __call__(self, message: Received[commands.ListRevocations]) -> Outcome:
        """Handle the question."""
        ask = message.data
        groups = self.in_force.policy.groups_of(message.sender, *SEES)
        if ask.approval_group is not None:
            groups = [group for group in groups if group == ask.approval_group]
        if not groups:
            raise RefusedError(finding("identity.not-permitted", "you may not see the revocations of any such group"))
        found = await self.certificates.listed(
            groups, ask.states, campaign=ask.campaign, after=ask.after, limit=ask.limit + 1
        )
        shown = tuple(_shown(each) for each in found[: ask.limit] if each.revocation is not None)
        result = replies.RevocationsResult(revocations=shown, more=len(found) > ask.limit)
        return Outcome(publish=(reply_ok(message, result, f"{len(shown)} revocations.", at=self.clock.now()),))


def _check(
    known: Certificate,
    said: RevocationConfirmation,
    message: Received[commands.ConfirmRevocation | commands.DenyRevocation],
    policy: Policy,
) -> Asked:
    """The revocation that this is a good word on.

    Raises:
        RefusedError: `revocation.confirmation-foreign`, `.not-waiting`, `.outdated` or `.by-asker`.
    """
    asked = known.revocation
    if said.approver != message.sender or said.confirmation is not KIND[type(message.data)]:
        text = "this is not the sender's own word, or not this word"
        raise RefusedError(finding("revocation.confirmation-foreign", text))
    if asked is None or known.state is not CertificateState.REQUESTED:
        raise RefusedError(finding("revocation.not-waiting", "no revocation of it waits to be confirmed"))
    meant = (said.request_id, said.revocation_id, said.certificate, said.reason)
    if meant != (known.id, asked.id, known.digest, asked.reason):
        text = "this was signed for another revocation than the one that waits; look at it again"
        raise RefusedError(finding("revocation.outdated", text))
    person = policy.person_of(said.approver)
    if said.confirmation is Confirmation.CONFIRM and (
        said.approver == asked.by or person == policy.person_of(asked.by)
    ):
        text = "who asked for a revocation can't confirm it"
        raise RefusedError(finding("revocation.by-asker", text, value=said.approver))
    return asked


def _confirmed(
    known: Certificate,
    asked: Asked,
    message: Received[commands.ConfirmRevocation | commands.DenyRevocation],
    *,
    policy: Policy,
    due: int,
) -> Certificate:
    """With this confirmation; under way once enough people of today's policy have confirmed."""
    good = {
        policy.person_of(name): (name, statement)
        for name, statement in zip(asked.confirmed_by, asked.confirmations, strict=True)
        if _decides(known, name, policy)
    }
    good[policy.person_of(message.sender)] = (message.sender, message.data.confirmation)
    enough = len(good) >= asked.needed
    told = asked.model_copy(
        update={
            "confirmed_by": tuple(name for name, _ in good.values()),
            "confirmations": tuple(statement for _, statement in good.values()),
        }
    )
    state = CertificateState.REVOKING if enough else CertificateState.REQUESTED
    return known.model_copy(update={"state": state, "revocation": told, "due": due if enough else None})


def _denied(known: Certificate, said: RevocationConfirmation) -> Certificate:
    text = f"{said.approver} has denied the revocation" + (f": {said.note}" if said.note else "")
    denied = rules.ended(known, (finding("revocation.denied", text, value=said.approver),))
    return denied.model_copy(update={"sequence": known.sequence + 1, "due": None})


def _decides(certificate: Certificate, name: IdentityName, policy: Policy) -> bool:
    identity = policy.identity(name)
    return (
        identity is not None
        and identity.person is not None
        and identity.may(Permission.DECIDE, certificate.approval_group)
    )


def _sees(certificate: Certificate, name: IdentityName, policy: Policy) -> bool:
    return name in certificate.requesters or certificate.approval_group in policy.groups_of(name, *SEES)


def _unknown(about: str) -> RefusedError:
    return RefusedError(finding("revocation.unknown", "there is no such revocation that you may see", value=about))


_TEXTS = {
    CertificateState.LIVE: "The certificate is not revoked, and nothing waits.",
    CertificateState.REQUESTED: "The revocation waits to be confirmed.",
    CertificateState.REVOKING: "The revocation is under way.",
    CertificateState.REVOKED: "The certificate is revoked.",
}


def _result(certificate: Certificate) -> replies.RevocationResult:
    return replies.RevocationResult(request_id=certificate.id, revocation=_shown(certificate))


def _shown(certificate: Certificate) -> replies.Revocation:
    asked = certificate.asked
    return replies.Revocation(
        request_id=certificate.id,
        revocation_id=asked.id,
        state=certificate.state,
        approval_group=certificate.approval_group,
        serial_number=certificate.serial_number,
        certificate=certificate.digest,
        reason=asked.reason,
        notes=asked.notes,
        by=asked.by,
        asked_at=asked.at,
        deadline=asked.deadline,
        needed=asked.needed,
        confirmed_by=asked.confirmed_by,
        ended_at=asked.ended_at,
        findings=asked.findings,
    )
