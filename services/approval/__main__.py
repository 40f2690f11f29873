"""Approval's composition root."""

import sys
from datetime import timedelta

from services.approval.adapters.cases import MongoCases, MongoFacts
from services.approval.compatibility import Compatibility
from services.approval.config import ApprovalSettings
from services.approval.due import DueCases
from services.approval.editing import EditHandler
from services.approval.handlers import (
    DecisionHandler,
    ListSigningCertificatesHandler,
    ProductFactsHandler,
    RequestAcceptedHandler,
    RequestReturnedHandler,
    ShowCaseHandler,
)
from services.approval.holding import HeldCases
from services.approval.passwords import PasswordCheckedHandler
from services.approval.resending import ResendVerdictHandler
from services.approval.rounds import Rounds
from services.approval.verdicts import Verdicts
from services.approval.waiting import ListPendingHandler
from services.approval.withdrawing import Withdrawals, WithdrawalSettledHandler, WithdrawRequestHandler
from shared.attestations import AttestationsBeside
from shared.contracts import commands, events
from shared.lint.worker import LintWorker
from shared.messaging.gate import Gate
from shared.messaging.runtime import routes
from shared.messaging.schedule import Schedule
from shared.observability.metrics import CaseMetrics, FactsMetrics
from shared.rabbit.link import Subscription
from shared.rabbit.topology import commands_queue, events_queue
from shared.vocabulary.duties import Duty
from shared.worker import Work, Worker, main

CASES_IN_HAND = 4


def wire(worker: Worker[ApprovalSettings], gate: Gate) -> Work:
    """Put approval together."""
    settings, in_force, clock = worker.settings, worker.in_force, worker.clock
    cases, facts, prefetch = MongoCases(worker.database), MongoFacts(worker.database), settings.broker.prefetch
    verdicts = Verdicts(in_force, worker.key, clock)
    compatibility = Compatibility(
        facts,
        in_force,
        AttestationsBeside(settings.policy, clock).until,
        clock,
        good_for=timedelta(seconds=settings.compatibility.facts_good_for_seconds),
    )
    again = timedelta(seconds=settings.compatibility.held_seconds)
    held = HeldCases(in_force, verdicts, compatibility, clock, again)
    due = DueCases(cases, in_force, verdicts, held, worker.publish, clock)
    schedule = Schedule(
        cases,
        due.advance,
        clock=clock,
        gate=gate,
        concurrency=CASES_IN_HAND,
        on_done=worker.messages.work_done,
        on_failure=worker.messages.work_failed,
    )
    rounds = Rounds(cases, in_force, CaseMetrics(worker.registry), clock, gate, worker.messages.work_failed)
    linter = LintWorker()
    decision = DecisionHandler(cases, in_force, verdicts, compatibility, held, clock)
    withdrawals = Withdrawals(in_force, clock)
    settled = WithdrawalSettledHandler(cases, withdrawals, clock)
    ages = FactsMetrics(worker.registry)
    return Work(
        routes=routes(
            (events.RequestAccepted, RequestAcceptedHandler(cases, in_force, worker.evidence, clock)),
            (events.PasswordChecked, PasswordCheckedHandler(cases, in_force, clock)),
            (events.RequestReturned, RequestReturnedHandler(cases, in_force, verdicts, withdrawals, clock)),
            (events.WithdrawalGranted, settled),
            (events.WithdrawalRefused, settled),
            (events.ProductFactsTaken, ProductFactsHandler(facts, in_force, worker.evidence, ages, clock)),
            (commands.EditRequest, EditHandler(cases, in_force, linter, worker.key, clock)),
            (commands.ApproveRequest, decision),
            (commands.DenyRequest, decision),
            (commands.ResendVerdict, ResendVerdictHandler(cases, in_force, verdicts, clock)),
            (commands.WithdrawRequest, WithdrawRequestHandler(cases, in_force, withdrawals, clock)),
            (commands.ListPending, ListPendingHandler(cases, in_force, clock)),
            (commands.ShowCase, ShowCaseHandler(cases, in_force, verdicts, clock)),
            (commands.ListSigningCertificates, ListSigningCertificatesHandler(compatibility, in_force, clock)),
        ),
        subscriptions=lambda: [
            Subscription(events_queue(Duty.APPROVAL), prefetch),
            Subscription(commands_queue(Duty.APPROVAL), prefetch),
        ],
        background=[linter.warm_up, schedule.run, rounds.run],
        finish=[schedule.finish, lambda _: linter.aclose()],
    )


if __name__ == "__main__":
    sys.exit(main(Duty.APPROVAL, ApprovalSettings, wire))
