"""Approval's composition root."""

import sys

from services.approval.adapters.cases import MongoCases
from services.approval.config import ApprovalSettings
from services.approval.handlers import (
    DecisionHandler,
    ListPendingHandler,
    Renewals,
    RequestAcceptedHandler,
    RequestReturnedHandler,
    ShowCaseHandler,
    WithdrawRequestHandler,
)
from shared.contracts import commands, events
from shared.messaging.gate import Gate
from shared.messaging.runtime import routes
from shared.rabbit.link import Subscription
from shared.rabbit.topology import commands_queue, events_queue
from shared.vocabulary.duties import Duty
from shared.worker import Work, Worker, main


def wire(worker: Worker[ApprovalSettings], _gate: Gate) -> Work:
    """Put approval together."""
    cases = MongoCases(worker.database)
    in_force, clock, prefetch = worker.in_force, worker.clock, worker.settings.broker.prefetch
    renewals = Renewals(in_force, worker.key, clock)
    decision = DecisionHandler(cases, in_force, renewals, worker.key, clock)
    return Work(
        routes=routes(
            (events.RequestAccepted, RequestAcceptedHandler(cases, in_force, worker.evidence, clock)),
            (events.RequestReturned, RequestReturnedHandler(cases, in_force, renewals, clock)),
            (commands.ApproveRequest, decision),
            (commands.DenyRequest, decision),
            (commands.WithdrawRequest, WithdrawRequestHandler(cases, in_force, clock)),
            (commands.ListPending, ListPendingHandler(cases, in_force, clock)),
            (commands.ShowCase, ShowCaseHandler(cases, in_force, renewals, clock)),
        ),
        subscriptions=lambda: [
            Subscription(events_queue(Duty.APPROVAL), prefetch),
            Subscription(commands_queue(Duty.APPROVAL), prefetch),
        ],
    )


if __name__ == "__main__":
    sys.exit(main(Duty.APPROVAL, ApprovalSettings, wire))
