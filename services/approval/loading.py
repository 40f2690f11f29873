"""The case that a message is about, as every handler that changes one begins."""

from typing import TypeVar

from services.approval import rules
from services.approval.model import Case
from services.approval.ports import CaseStore
from shared.contracts import commands, events
from shared.messaging.messages import Outcome, Received

AboutOneT = TypeVar(
    "AboutOneT",
    commands.ApproveRequest | commands.DenyRequest,
    commands.EditRequest,
    commands.WithdrawRequest,
    events.RequestReturned,
    events.PasswordChecked,
    events.WithdrawalGranted | events.WithdrawalRefused,
)


async def load_case(cases: CaseStore, message: Received[AboutOneT]) -> tuple[Case, Outcome | None]:
    """The case, and what followed from this message if it was handled before.

    Raises:
        RefusedError: `request.unknown`.
        UnavailableError: the database is away.
    """
    case = await cases.load(message.data.request_id)
    if case is None:
        raise rules.unknown_request(message.data.request_id)
    return case, case.outcome_of(message.id)
