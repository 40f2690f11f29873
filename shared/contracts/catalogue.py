"""The catalogue: each message type with its model, who may send it, and by which routing keys it travels."""

from dataclasses import dataclass

from shared.contracts import audit, commands, events, notices, replies
from shared.vocabulary.duties import Duty
from shared.vocabulary.model import Model


@dataclass(frozen=True)
class CommandContract:
    """A command, by the name of its type.

    Identities send it to one duty, which answers with a `Reply` of this result.
    """

    name: str
    model: type[Model]
    duty: Duty
    verb: str
    """The last word of its routing key, `<identity>.<duty>.<verb>`."""
    result: type[replies.Result]

    @property
    def reply_type(self) -> str:
        """The type of the answer: the command's, with `.reply` before the version."""
        stem, version = self.name.rsplit(".", 1)
        return f"{stem}.reply.{version}"


@dataclass(frozen=True)
class EventContract:
    """A lifecycle event, by the name of its type.

    One duty publishes it, under `<duty>.<noun>.<participle>.<approval group>`.
    """

    name: str
    model: type[events.LifecycleEvent]
    duty: Duty
    key: str
    """The noun and the participle."""


@dataclass(frozen=True)
class NewsContract:
    """An event that is no step in a request's life, by the name of its type: it has no sequence number.

    One duty publishes it, under `<duty>.<noun>.<participle>.<what it is about>`.
    """

    name: str
    model: type[Model]
    duty: Duty
    key: str


@dataclass(frozen=True)
class NoticeContract:
    """What intake tells an identity without being asked, under `<identity>.intake.notice`, by the name of its type."""

    name: str
    model: type[Model]


REFUSAL_TYPE = "ra.message.refused.v1"
"""The answer to something that could not be read as a command."""
NOTICE_TYPE = "ra.request.notice.v1"
AWAITED_TYPE = "ra.decision.awaited.v1"

COMMANDS: tuple[CommandContract, ...] = (
    CommandContract("ra.request.submit.v1", commands.SubmitRequest, Duty.INTAKE, "submit", replies.SubmitResult),
    CommandContract("ra.options.show.v1", commands.ShowOptions, Duty.INTAKE, "options", replies.OptionsResult),
    CommandContract("ra.request.status.v1", commands.ShowStatus, Duty.INTAKE, "status", replies.StatusResult),
    CommandContract("ra.request.list.v1", commands.ListRequests, Duty.INTAKE, "list", replies.RequestsResult),
    CommandContract("ra.summary.show.v1", commands.ShowSummary, Duty.INTAKE, "summary", replies.SummaryResult),
    CommandContract("ra.evidence.export.v1", commands.ExportEvidence, Duty.INTAKE, "export", replies.EvidenceResult),
    CommandContract(
        "ra.publication.list.v1",
        commands.ListPublications,
        Duty.INTAKE,
        "publications",
        replies.PublicationsResult,
    ),
    CommandContract("ra.case.list.v1", commands.ListPending, Duty.APPROVAL, "list", replies.PendingResult),
    CommandContract("ra.case.show.v1", commands.ShowCase, Duty.APPROVAL, "show", replies.CaseResult),
    CommandContract(
        "ra.signing-certificate.list.v1",
        commands.ListSigningCertificates,
        Duty.APPROVAL,
        "signing-certificates",
        replies.SigningCertificatesResult,
    ),
    CommandContract("ra.request.edit.v1", commands.EditRequest, Duty.APPROVAL, "edit", replies.EditResult),
    CommandContract("ra.request.approve.v1", commands.ApproveRequest, Duty.APPROVAL, "approve", replies.DecisionResult),
    CommandContract("ra.request.deny.v1", commands.DenyRequest, Duty.APPROVAL, "deny", replies.DecisionResult),
    CommandContract(
        "ra.request.withdraw.v1", commands.WithdrawRequest, Duty.APPROVAL, "withdraw", replies.WithdrawResult
    ),
    CommandContract("ra.verdict.resend.v1", commands.ResendVerdict, Duty.APPROVAL, "resend", replies.ResendResult),
    CommandContract(
        "ra.certificate.download.v1",
        commands.DownloadCertificate,
        Duty.ISSUER,
        "download",
        replies.DownloadResult,
    ),
    CommandContract("ra.order.list.v1", commands.ListOrders, Duty.ISSUER, "list", replies.OrdersResult),
    CommandContract("ra.order.show.v1", commands.ShowOrder, Duty.ISSUER, "show", replies.OrderResult),
    CommandContract("ra.order.settle.v1", commands.SettleOrder, Duty.ISSUER, "settle", replies.SettleResult),
    CommandContract("ra.sealed.list.v1", commands.ListSealed, Duty.ISSUER, "sealed", replies.SealedResult),
    CommandContract("ra.sealed.erase.v1", commands.EraseSealed, Duty.ISSUER, "erase", replies.EraseResult),
    CommandContract("ra.order.fail.v1", commands.FailOrder, Duty.ISSUER, "fail", replies.SettleResult),
    CommandContract(
        "ra.certificate.revoke.v1", commands.RevokeCertificate, Duty.REVOKER, "revoke", replies.RevokeResult
    ),
    CommandContract(
        "ra.revocation.confirm.v1", commands.ConfirmRevocation, Duty.REVOKER, "confirm", replies.RevocationResult
    ),
    CommandContract("ra.revocation.deny.v1", commands.DenyRevocation, Duty.REVOKER, "deny", replies.RevocationResult),
    CommandContract("ra.revocation.show.v1", commands.ShowRevocation, Duty.REVOKER, "show", replies.RevocationResult),
    CommandContract("ra.revocation.list.v1", commands.ListRevocations, Duty.REVOKER, "list", replies.RevocationsResult),
    CommandContract(
        "ra.certificate.list.v1", commands.ListCertificates, Duty.REVOKER, "certificates", replies.CertificatesResult
    ),
    CommandContract(
        "ra.campaign.revoke.v1", commands.RevokeCampaign, Duty.REVOKER, "campaign", replies.CampaignPartResult
    ),
    CommandContract("ra.campaign.show.v1", commands.ShowCampaign, Duty.REVOKER, "progress", replies.CampaignResult),
)

EVENTS: tuple[EventContract, ...] = (
    EventContract("ra.request.accepted.v1", events.RequestAccepted, Duty.INTAKE, "request.accepted"),
    EventContract("ra.request.edited.v1", events.RequestEdited, Duty.APPROVAL, "request.edited"),
    EventContract("ra.request.refused.v1", events.RequestRefused, Duty.APPROVAL, "request.refused"),
    EventContract("ra.request.approved.v1", events.RequestApproved, Duty.APPROVAL, "request.approved"),
    EventContract("ra.request.denied.v1", events.RequestDenied, Duty.APPROVAL, "request.denied"),
    EventContract("ra.request.withdrawn.v1", events.RequestWithdrawn, Duty.APPROVAL, "request.withdrawn"),
    EventContract("ra.request.expired.v1", events.RequestExpired, Duty.APPROVAL, "request.expired"),
    EventContract("ra.request.reminded.v1", events.RequestReminded, Duty.APPROVAL, "request.reminded"),
    EventContract("ra.request.returned.v1", events.RequestReturned, Duty.ISSUER, "request.returned"),
    EventContract("ra.request.ordered.v1", events.RequestOrdered, Duty.ISSUER, "request.ordered"),
    EventContract("ra.request.failed.v1", events.RequestFailed, Duty.ISSUER, "request.failed"),
    EventContract("ra.certificate.issued.v1", events.CertificateIssued, Duty.ISSUER, "certificate.issued"),
    EventContract(
        "ra.certificate.quarantined.v1", events.CertificateQuarantined, Duty.ISSUER, "certificate.quarantined"
    ),
    EventContract("ra.withdrawal.granted.v1", events.WithdrawalGranted, Duty.ISSUER, "withdrawal.granted"),
    EventContract("ra.revocation.asked.v1", events.RevocationAsked, Duty.REVOKER, "revocation.asked"),
    EventContract("ra.certificate.revoked.v1", events.CertificateRevoked, Duty.REVOKER, "certificate.revoked"),
    EventContract("ra.revocation.failed.v1", events.RevocationFailed, Duty.REVOKER, "revocation.failed"),
)

NEWS: tuple[NewsContract, ...] = (
    NewsContract("ra.product.facts.v1", events.ProductFactsTaken, Duty.ISSUER, "product.facts"),
    NewsContract("ra.key.blocked.v1", events.KeyBlocked, Duty.REVOKER, "key.blocked"),
    NewsContract("ra.password.asked.v1", events.PasswordAsked, Duty.APPROVAL, "password.asked"),
    NewsContract("ra.password.checked.v1", events.PasswordChecked, Duty.ISSUER, "password.checked"),
    NewsContract("ra.certificate.delivered.v1", events.CertificateDelivered, Duty.ISSUER, "certificate.delivered"),
    NewsContract("ra.key.erased.v1", events.KeyErased, Duty.ISSUER, "key.erased"),
    NewsContract("ra.withdrawal.asked.v1", events.WithdrawalAsked, Duty.APPROVAL, "withdrawal.asked"),
    NewsContract("ra.withdrawal.refused.v1", events.WithdrawalRefused, Duty.ISSUER, "withdrawal.refused"),
    *(
        NewsContract(f"ra.audit-log.{duty}-checkpoint.v1", model, duty, "audit.checkpoint")
        for duty, model in audit.CHECKPOINT_OF.items()
    ),
)

NOTICES: tuple[NoticeContract, ...] = (
    NoticeContract(NOTICE_TYPE, events.RequestNotice),
    NoticeContract(AWAITED_TYPE, notices.DecisionAwaited),
    NoticeContract("ra.certificate.expiring.v1", notices.CertificateExpiring),
)

COMMAND_OF = {contract.model: contract for contract in COMMANDS}
EVENT_OF = {contract.model: contract for contract in EVENTS}
NEWS_OF = {contract.model: contract for contract in NEWS}
NOTICE_OF = {contract.model: contract for contract in NOTICES}
