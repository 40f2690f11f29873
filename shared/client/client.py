"""The client: one identity's commands and their results, over one connection that is opened anew when it is lost."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self, TypeVar

from pydantic import ValidationError

from shared.client.answers import ResultT, read_answer
from shared.client.case import ShownCase, read_case
from shared.client.connection import connect as connect_to_broker
from shared.client.errors import ClientError, NoAnswerError, NotConnectedError, OutOfReachError, StillWaitingError
from shared.client.mailbox import Mailbox
from shared.client.ports import Connect, Connection, ConnectionLostError, Receiver, Signer
from shared.client.profile import Passphrase, Profile, no_passphrase, read_anchor, read_signer
from shared.client.watching import News, Watch
from shared.clock import Clock, SystemClock
from shared.contracts import commands, replies
from shared.contracts.campaigns import Campaign, CampaignEntry
from shared.contracts.catalogue import COMMAND_OF
from shared.contracts.content import EditedContent, RequestContent
from shared.contracts.statement import JwsStatement, UnsignedSubmission
from shared.errors import RefusedError
from shared.evidence.anchor import Anchor
from shared.evidence.campaigns import CampaignSignature
from shared.evidence.jws import Typ
from shared.evidence.steps import Decision, DecisionKind, Decisions, Edit, RevocationConfirmation
from shared.identifiers import new_message_id
from shared.messaging.messages import Outgoing, compose_command
from shared.vocabulary.duties import Duty
from shared.vocabulary.findings import finding
from shared.vocabulary.formats import DownloadFormat
from shared.vocabulary.model import Model, mistakes
from shared.vocabulary.names import IdentityName, RequestId
from shared.vocabulary.orders import OPEN_ORDERS, OrderState
from shared.vocabulary.reasons import RevocationReason
from shared.vocabulary.revocations import OPEN_REVOCATIONS, CertificateState, Confirmation
from shared.vocabulary.states import NEXT_STATES, State
from shared.x509.possession import Holder, PossessionProof, PossessionStatement

ANSWER_SECONDS = 30.0
FIRST_LOOK_SECONDS = 0.5
LONGEST_LOOK_SECONDS = 10.0
LOOK_LESS_OFTEN = 1.5
PAUSE_SECONDS = 0.5

ModelT = TypeVar("ModelT", bound=Model)


@dataclass
class Attempt:
    """A command on its way, and what came in between."""

    message: Outgoing
    duty: Duty
    pretenders: set[str] = field(default_factory=set)
    lost: bool = False

    def failure(self, seconds: float) -> str:
        """Why there is no answer."""
        text = f"{self.duty} did not answer within {seconds:g} seconds."
        if self.lost:
            text += " The connection to the broker was lost meanwhile."
        if self.pretenders:
            text += f" What pretended to be the answer came from {', '.join(sorted(self.pretenders))}; it was ignored."
        return text


class RaClient:
    """Sends commands as one identity and gives back their results; use it as an asynchronous context manager.

    Every command raises `CommandRefusedError` or `CommandFailedError` when the duty says so, another `ClientError`
    when no answer was had, and `RefusedError` when what it was given can't be sent. Commands may run side by side.
    """

    def __init__(
        self,
        profile: Profile,
        *,
        signer: Signer | None = None,
        anchor: Anchor | None = None,
        timeout_seconds: float = ANSWER_SECONDS,
        clock: Clock | None = None,
        connect: Connect = connect_to_broker,
    ) -> None:
        """`signer` is needed to sign submissions and to decide; with `anchor`, what duties show is verified."""
        self.profile = profile
        self._signer = signer
        self._anchor = anchor
        self._timeout = timeout_seconds
        self._clock = clock or SystemClock()
        self._connect = connect
        self._mailbox = Mailbox()
        self._connection: Connection | None = None
        self._opening = asyncio.Lock()

    @classmethod
    def from_profile(
        cls,
        profile: Profile,
        *,
        passphrase: Passphrase = no_passphrase,
        timeout_seconds: float = ANSWER_SECONDS,
    ) -> Self:
        """A client with the key and the anchor that the profile names.

        Raises:
            RefusedError: `config.*`, one of the files can't be used.
        """
        anchor = None if profile.trust is None else read_anchor(profile.trust.anchor_file)
        signer = read_signer(profile, passphrase)
        return cls(profile, signer=signer, anchor=anchor, timeout_seconds=timeout_seconds)

    @property
    def identity(self) -> IdentityName:
        """As whom this client speaks."""
        return self.profile.identity

    async def __aenter__(self) -> Self:
        await self._connected()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the connection, if there is one; the next command opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    # --- intake ---------------------------------------------------------------------------------------------------

    async def submit(self, content: RequestContent, *, sign: bool = True) -> replies.SubmitResult:
        """Submit a request; the same content under the same request id may be submitted again and counts once."""
        submission: JwsStatement | UnsignedSubmission = UnsignedSubmission(content=content)
        if sign:
            submission = JwsStatement(jws=self._sign(content, Typ.SUBMISSION))
        command = commands.SubmitRequest(submission=submission)
        return await self._ask(command, replies.SubmitResult, about=content.request_id)

    async def options(self) -> replies.OptionsResult:
        """What this identity may pick when it submits."""
        return await self._ask(commands.ShowOptions(), replies.OptionsResult)

    async def status(self, request_id: str) -> replies.StatusResult:
        """Where a request stands and how it came there."""
        return await self._ask(_made(commands.ShowStatus, request_id=request_id), replies.StatusResult)

    async def list_requests(self, *, before: str | None = None, limit: int = 50) -> replies.RequestsResult:
        """One page of this identity's own requests, newest first."""
        return await self._ask(_made(commands.ListRequests, before=before, limit=limit), replies.RequestsResult)

    async def summary(self) -> replies.SummaryResult:
        """How many requests stand where in the groups that this identity may view, audit or decide for."""
        return await self._ask(commands.ShowSummary(), replies.SummaryResult)

    async def export_evidence(self, request_id: str) -> replies.EvidenceResult:
        """The request's evidence file."""
        return await self._ask(_made(commands.ExportEvidence, request_id=request_id), replies.EvidenceResult)

    async def list_publications(self, *, after: str | None = None, limit: int = 100) -> replies.PublicationsResult:
        """One page of what was published of the orders of the groups that this identity audits, oldest first."""
        command = _made(commands.ListPublications, after=after, limit=limit)
        return await self._ask(command, replies.PublicationsResult)

    # --- approval -------------------------------------------------------------------------------------------------

    async def list_pending(
        self,
        *,
        approval_group: str | None = None,
        after: str | None = None,
        limit: int = 50,
        text: str | None = None,
        requester: str | None = None,
        accepted_before: datetime | None = None,
        accepted_after: datetime | None = None,
    ) -> replies.PendingResult:
        """One page of the requests that wait for a decision, oldest first; go on `after` the page's `next`.

        `text` is looked for in ids, names, subjects and requesters' names.
        """
        command = _made(
            commands.ListPending,
            approval_group=approval_group,
            after=after,
            limit=limit,
            text=text,
            requester=requester,
            accepted_before=accepted_before,
            accepted_after=accepted_after,
        )
        return await self._ask(command, replies.PendingResult)

    async def show_case(self, request_id: str) -> replies.CaseResult:
        """A case as its approvers see it; `read` says what it holds."""
        return await self._ask(_made(commands.ShowCase, request_id=request_id), replies.CaseResult)

    async def list_signing_certificates(self) -> replies.SigningCertificatesResult:
        """Whether the signing certificates of this identity's groups go together with their products."""
        return await self._ask(commands.ListSigningCertificates(), replies.SigningCertificatesResult)

    def read(self, case: replies.CaseResult) -> ShownCase:
        """What a case holds, verified as far as this client's anchor goes.

        Raises:
            RefusedError: what it shows and what would be signed for differ, or intake's signature does not hold.
        """
        return read_case(case, self._anchor, now=self._clock.now())

    async def edit(self, case: replies.CaseResult, content: EditedContent) -> replies.EditResult:
        """Edit the revision that this case shows: it is to be what `content` says; `read` says what it is now."""
        shown = self.read(case)
        said = _made(
            Edit,
            request_id=shown.revision.request_id,
            predecessor=shown.digest,
            editor=self.identity,
            **dict(content),
        )
        statement = JwsStatement(jws=self._sign(said, Typ.EDIT))
        return await self._ask(
            _made(commands.EditRequest, request_id=said.request_id, edit=statement), replies.EditResult
        )

    async def approve(self, case: replies.CaseResult, note: str = "") -> replies.DecisionResult:
        """Approve exactly the revision that this case shows."""
        request_id, statement = self._decision(case, DecisionKind.APPROVE, note)
        command = commands.ApproveRequest(request_id=request_id, decision=statement)
        return await self._ask(command, replies.DecisionResult)

    async def deny(self, case: replies.CaseResult, note: str = "") -> replies.DecisionResult:
        """Deny the request of which this case shows a revision."""
        request_id, statement = self._decision(case, DecisionKind.DENY, note)
        command = commands.DenyRequest(request_id=request_id, decision=statement)
        return await self._ask(command, replies.DecisionResult)

    async def decide(
        self, cases: Sequence[replies.CaseResult], kind: DecisionKind, note: str = ""
    ) -> dict[RequestId, replies.DecisionResult | ClientError]:
        """Decide alike on exactly the revisions that these cases show, with one signature.

        Each request is judged on its own: the answer of each, or the error that `approve` or `deny` would have raised.

        Raises:
            RefusedError: one of the cases can't be signed for, or there are too many or none; nothing was sent.
        """
        shown = [self.read(case) for case in cases]
        named = [{"request_id": each.revision.request_id, "revision": each.digest} for each in shown]
        said = _made(Decisions, requests=named, decision=kind, approver=self.identity, note=note)
        statement = JwsStatement(jws=self._sign(said, Typ.DECISIONS))
        command = commands.ApproveRequest if kind is DecisionKind.APPROVE else commands.DenyRequest

        async def answered(request_id: RequestId) -> replies.DecisionResult | ClientError:
            try:
                return await self._ask(command(request_id=request_id, decision=statement), replies.DecisionResult)
            except ClientError as error:
                return error

        ids = [each.request_id for each in said.requests]
        return dict(zip(ids, await asyncio.gather(*map(answered, ids)), strict=True))

    async def withdraw(self, request_id: str) -> replies.WithdrawResult:
        """Take back a request that is not yet ordered; of an approved one the issuer decides, who may be away."""
        return await self._ask(_made(commands.WithdrawRequest, request_id=request_id), replies.WithdrawResult)

    # --- issuer and revoker ---------------------------------------------------------------------------------------

    async def download(
        self, request_id: str, form: DownloadFormat = DownloadFormat.PEM_X509, *, chain: bool = True
    ) -> replies.DownloadResult:
        """The issued certificate, with its intermediates if `chain`."""
        command = _made(commands.DownloadCertificate, request_id=request_id, format=str(form), chain=chain)
        return await self._ask(command, replies.DownloadResult)

    async def list_orders(
        self,
        *,
        approval_group: str | None = None,
        states: Collection[OrderState] = OPEN_ORDERS,
        after: str | None = None,
        limit: int = 50,
    ) -> replies.OrdersResult:
        """One page of the orders in these states, by their requests' ids, the oldest first."""
        command = _made(
            commands.ListOrders, approval_group=approval_group, states=tuple(states), after=after, limit=limit
        )
        return await self._ask(command, replies.OrdersResult)

    async def show_order(self, request_id: str) -> replies.OrderResult:
        """Where the order for a request stands, why, and what is to be done."""
        return await self._ask(_made(commands.ShowOrder, request_id=request_id), replies.OrderResult)

    async def list_sealed(
        self, *, approval_group: str | None = None, after: str | None = None, limit: int = 50
    ) -> replies.SealedResult:
        """One page of what the issuer holds of private keys, by their requests' ids, the oldest first."""
        command = _made(commands.ListSealed, approval_group=approval_group, after=after, limit=limit)
        return await self._ask(command, replies.SealedResult)

    async def erase_sealed(self, request_id: str) -> replies.EraseResult:
        """Have the issuer erase what it holds of a private key, for good."""
        return await self._ask(_made(commands.EraseSealed, request_id=request_id), replies.EraseResult)

    async def settle_order(self, request_id: str, *, adopt: int | None) -> replies.SettleResult:
        """Say which order at the CA is the request's, or that none is: it is ordered again then."""
        command = _made(commands.SettleOrder, request_id=request_id, adopt=adopt)
        return await self._ask(command, replies.SettleResult)

    async def fail_order(self, request_id: str, *, reason: str) -> replies.SettleResult:
        """End a request that is approved and not issued; the answer says that this is accepted, not yet done."""
        return await self._ask(_made(commands.FailOrder, request_id=request_id, reason=reason), replies.SettleResult)

    async def resend_verdict(self, request_id: str) -> replies.ResendResult:
        """Have the issuer told of an approval once more, which its ledger has lost."""
        return await self._ask(_made(commands.ResendVerdict, request_id=request_id), replies.ResendResult)

    async def revoke(
        self, certificate: str, reason: RevocationReason, notes: str = "", *, holder: Holder | None = None
    ) -> replies.RevokeResult:
        """Have an issued certificate revoked, named by its request's id or its serial number.

        The answer says that this is accepted, not yet that it is done. With `holder`, the private key says so; it stays
        here.

        Raises:
            RefusedError: `command.invalid`; or `revocation.key-does-not-sign`.
        """
        named = _named(certificate)
        proof = None if holder is None else self._proof(holder, next(iter(named.values())))
        command = _made(commands.RevokeCertificate, **named, reason=reason, notes=notes, proof=proof)
        return await self._ask(command, replies.RevokeResult)

    def _proof(self, holder: Holder, name: str) -> PossessionProof:
        now = int(self._clock.now().timestamp())
        said = _made(PossessionStatement, certificate=name, key=holder.key, relayed_by=self.identity, signed_at=now)
        try:
            return holder.prove(said)
        except ValueError as error:
            raise RefusedError(finding("revocation.key-does-not-sign", str(error))) from error

    async def show_revocation(self, certificate: str) -> replies.Revocation:
        """Where the revocation of a certificate stands, named by its request's id or its serial number."""
        command = _made(commands.ShowRevocation, **_named(certificate))
        return (await self._ask(command, replies.RevocationResult)).revocation

    async def list_revocations(
        self,
        *,
        approval_group: str | None = None,
        states: Collection[CertificateState] = OPEN_REVOCATIONS,
        campaign: str | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> replies.RevocationsResult:
        """One page of the revocations in these states, by their requests' ids, the oldest first."""
        command = _made(
            commands.ListRevocations,
            approval_group=approval_group,
            states=tuple(states),
            campaign=campaign,
            after=after,
            limit=limit,
        )
        return await self._ask(command, replies.RevocationsResult)

    async def confirm_revocation(
        self, shown: replies.Revocation, kind: Confirmation = Confirmation.CONFIRM, note: str = ""
    ) -> replies.Revocation:
        """Confirm, or deny, exactly the revocation that is shown."""
        said = _made(
            RevocationConfirmation,
            request_id=shown.request_id,
            revocation_id=shown.revocation_id,
            certificate=shown.certificate,
            reason=shown.reason,
            confirmation=kind,
            approver=self.identity,
            note=note,
        )
        statement = JwsStatement(jws=self._sign(said, Typ.CONFIRMATION))
        command = commands.ConfirmRevocation if kind is Confirmation.CONFIRM else commands.DenyRevocation
        made = command(request_id=shown.request_id, confirmation=statement)
        return (await self._ask(made, replies.RevocationResult)).revocation

    async def list_certificates(self, **wanted: object) -> replies.CertificatesResult:
        """One page of the good certificates that this identity may have revoked; `wanted` as `ListCertificates`."""
        return await self._ask(_made(commands.ListCertificates, **wanted), replies.CertificatesResult)

    def sign_campaign(self, campaign: Campaign) -> JwsStatement:
        """This identity's word that exactly this campaign is to be carried out; nothing is sent."""
        return JwsStatement(jws=self._sign(CampaignSignature.on(campaign, self.identity), Typ.CAMPAIGN))

    async def revoke_part(
        self,
        campaign: Campaign,
        signatures: Sequence[JwsStatement],
        part: int,
        certificates: Sequence[CampaignEntry],
    ) -> replies.CampaignPartResult:
        """Have one part of a campaign revoked; sent again, nothing happens twice."""
        command = _made(
            commands.RevokeCampaign,
            campaign=campaign,
            signatures=tuple(signatures),
            part=part,
            certificates=tuple(certificates),
        )
        return await self._ask(command, replies.CampaignPartResult)

    async def show_campaign(self, campaign: str) -> replies.CampaignResult:
        """How far a campaign, named by its digest, has come."""
        return await self._ask(_made(commands.ShowCampaign, campaign=campaign), replies.CampaignResult)

    # --- waiting --------------------------------------------------------------------------------------------------

    async def wait_for_state(
        self, request_id: str, states: Collection[State], limit_seconds: float
    ) -> replies.StatusResult:
        """The request's status once it is in one of these states.

        Intake's notices make it look at once; without them it looks ever less often. A broker or a duty that is away
        meanwhile is waited for.

        Raises:
            OutOfReachError: none of the states can come any more.
            StillWaitingError: the limit has passed.
            CommandRefusedError: this identity may not see the request.
        """
        last: list[State] = []
        try:
            async with asyncio.timeout(limit_seconds):
                return await self._wait(request_id, frozenset(states), last)
        except TimeoutError:
            raise StillWaitingError(last[-1] if last else None, limit_seconds) from None

    async def _wait(self, request_id: str, states: frozenset[State], seen: list[State]) -> replies.StatusResult:
        interval = FIRST_LOOK_SECONDS
        with self._mailbox.listening(request_id) as news:
            while True:
                news.clear()
                with contextlib.suppress(NoAnswerError, NotConnectedError):
                    status = await self.status(request_id)
                    seen.append(status.request.state)
                    if status.request.state in states:
                        return status
                    if not states & reachable(status.request.state):
                        raise OutOfReachError(status)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(news.wait(), interval)
                interval = min(interval * LOOK_LESS_OFTEN, LONGEST_LOOK_SECONDS)

    def watch(self) -> AsyncIterator[News]:
        """What awaits this identity's decision as it comes, for ever, and when the connection is lost and regained.

        What came while it was lost is told when it is regained. The list of what waits is `list_pending`, not this.
        """

        def listing(since: datetime, after: str | None) -> Awaitable[replies.PendingResult]:
            return self.list_pending(accepted_after=since, after=after, limit=200)

        return Watch(self._mailbox, self._connected, listing, self._clock).news()

    # --- asking ---------------------------------------------------------------------------------------------------

    async def _ask(self, command: Model, result: type[ResultT], *, about: str | None = None) -> ResultT:
        """Send a command and wait for the result that the duty asked answers it with.

        When the connection is lost meanwhile, the same message is sent again, as often as the time allows: under its
        id, it counts once.
        """
        contract = COMMAND_OF[type(command)]
        about = about or getattr(command, "request_id", None)
        message = compose_command(
            command,
            contract,
            message_id=new_message_id(),
            sender=self.identity,
            subject=about or self.identity,
            at=self._clock.now(),
        )
        await self._connected()
        attempt = Attempt(message, contract.duty)
        try:
            async with asyncio.timeout(self._timeout):
                body = None
                while body is None:
                    body = await self._attempt(attempt)
        except TimeoutError:
            raise NoAnswerError(attempt.failure(self._timeout), message_id=message.id) from None
        return read_answer(body, contract, result, about=about)

    async def _attempt(self, attempt: "Attempt") -> bytes | None:
        """The answer's body; None when the connection was lost, or has not come back yet."""
        with self._mailbox.asking(attempt.message.id, attempt.duty, attempt.pretenders) as answer:
            try:
                connection = await self._connected()
                await connection.publish(attempt.message)
                return await answer
            except (ConnectionLostError, NotConnectedError):
                attempt.lost = True
        await asyncio.sleep(PAUSE_SECONDS)
        return None

    async def _connected(self) -> Connection:
        async with self._opening:
            if self._connection is None or not self._connection.is_open:
                if self._connection is not None:
                    await self._connection.close()
                self._connection = None
                self._connection = await self._connect(self.profile, self._receiver)
            return self._connection

    @property
    def _receiver(self) -> Receiver:
        return Receiver(on_message=self._mailbox.take, on_lost=self._mailbox.lose)

    # --- signing --------------------------------------------------------------------------------------------------

    def _decision(self, case: replies.CaseResult, kind: DecisionKind, note: str) -> tuple[RequestId, JwsStatement]:
        shown = self.read(case)
        said = _made(
            Decision,
            request_id=shown.revision.request_id,
            revision=shown.digest,
            decision=kind,
            approver=self.identity,
            note=note,
        )
        return said.request_id, JwsStatement(jws=self._sign(said, Typ.DECISION))

    def _sign(self, said: Model, typ: Typ) -> str:
        if self._signer is None:
            raise RefusedError(
                finding("config.key-missing", "this has to be signed, and the profile names no key: see [signing]")
            )
        return self._signer.sign(said.canonical(), typ, self._clock.now())


def reachable(state: State) -> frozenset[State]:
    """Every state that a request in this one may still come to."""
    found: set[State] = set()
    ahead = set(NEXT_STATES[state])
    while ahead:
        found |= ahead
        ahead = {following for known in ahead for following in NEXT_STATES[known]} - found
    return frozenset(found)


def _named(certificate: str) -> dict[str, str]:
    """A certificate's name as a command has it: a request's id has hyphens, a serial number may have colons."""
    if "-" in certificate:
        return {"request_id": certificate}
    return {"serial_number": certificate.replace(":", "").lower().lstrip("0") or "0"}


def _made(model: type[ModelT], **fields: object) -> ModelT:
    """A model from what the caller gave, or a refusal that says what is wrong with it."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise RefusedError.of(mistakes(error, code="command.invalid")) from None
