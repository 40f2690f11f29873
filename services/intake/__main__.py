"""Intake's composition root."""

import contextlib
import sys

from services.intake.adapters.requests import MongoRequests
from services.intake.config import IntakeSettings
from services.intake.handlers import (
    ExportEvidenceHandler,
    LifecycleHandler,
    ListRequestsHandler,
    ShowOptionsHandler,
    ShowStatusHandler,
    SubmitRequestHandler,
)
from shared.contracts import commands
from shared.contracts.catalogue import EVENTS
from shared.errors import UnavailableError
from shared.lint.worker import LintWorker
from shared.messaging.gate import Gate
from shared.messaging.runtime import routes
from shared.rabbit.link import Subscription
from shared.rabbit.topology import commands_queue, events_queue, submissions_queue, submitters
from shared.vocabulary.duties import Duty
from shared.worker import Work, Worker, main

SUBMISSIONS_IN_HAND = 4
"""Of each identity at once: whoever submits much waits behind whoever submits little."""


def wire(worker: Worker[IntakeSettings], _gate: Gate) -> Work:
    """Put intake together."""
    requests = MongoRequests(worker.database)
    linter = LintWorker()
    in_force, clock, prefetch = worker.in_force, worker.clock, worker.settings.broker.prefetch
    lifecycle = LifecycleHandler(requests, in_force, clock)
    return Work(
        routes=routes(
            (commands.SubmitRequest, SubmitRequestHandler(requests, in_force, linter, worker.key, clock)),
            (commands.ShowOptions, ShowOptionsHandler(in_force, clock)),
            (commands.ShowStatus, ShowStatusHandler(requests, in_force, clock)),
            (commands.ListRequests, ListRequestsHandler(requests, clock)),
            (commands.ExportEvidence, ExportEvidenceHandler(requests, in_force, clock)),
            *((contract.model, lifecycle) for contract in EVENTS if contract.duty is not Duty.INTAKE),
        ),
        subscriptions=lambda: [
            Subscription(commands_queue(Duty.INTAKE), prefetch),
            Subscription(events_queue(Duty.INTAKE), prefetch),
            *(
                Subscription(submissions_queue(identity), SUBMISSIONS_IN_HAND)
                for identity in submitters(in_force.policy)
            ),
        ],
        gates=[worker.open_gate("linter", linter.probe)],
        background=[lambda: _warm_up(linter)],
        finish=[lambda _: linter.aclose()],
    )


async def _warm_up(linter: LintWorker) -> None:
    """Have the linter ready before the first request; if it is not to be had, the gate sees to it later."""
    with contextlib.suppress(UnavailableError):
        await linter.probe()


if __name__ == "__main__":
    sys.exit(main(Duty.INTAKE, IntakeSettings, wire))
