"""Intake's composition root."""

import sys
from functools import partial

from services.intake.adapters.blocklist import BlocklistFolder
from services.intake.adapters.keys import MongoKeys
from services.intake.adapters.requests import MongoRequests
from services.intake.config import IntakeSettings
from services.intake.handlers import (
    ExportEvidenceHandler,
    LifecycleHandler,
    ListPublicationsHandler,
    ListRequestsHandler,
    ShowOptionsHandler,
    ShowStatusHandler,
    SubmitRequestHandler,
)
from shared.contracts import commands
from shared.contracts.catalogue import EVENTS
from shared.lint.worker import LintWorker
from shared.messaging.gate import Gate
from shared.messaging.runtime import routes
from shared.observability.metrics import note_blocklist
from shared.rabbit.link import Subscription
from shared.rabbit.topology import commands_queue, events_queue, submissions_queue, submitters
from shared.vocabulary.duties import Duty
from shared.worker import Work, Worker, main

SUBMISSIONS_IN_HAND = 4
"""Of each identity at once: whoever submits much waits behind whoever submits little."""

LOOK_EVERY_SECONDS = 10.0
"""How often intake looks whether its blocklist can be used."""


def wire(worker: Worker[IntakeSettings], _gate: Gate) -> Work:
    """Put intake together."""
    requests, keys = MongoRequests(worker.database), MongoKeys(worker.database)
    linter = LintWorker()
    blocklist = BlocklistFolder(worker.settings.screening.blocklist)
    watched = [] if blocklist.folder is None else [worker.open_gate("blocklist", blocklist.probe)]
    note_blocklist(worker.registry, lambda: any(gate.is_open for gate in watched))
    in_force, clock, prefetch = worker.in_force, worker.clock, worker.settings.broker.prefetch
    submit = SubmitRequestHandler(requests, keys, in_force, blocklist, linter, worker.key, clock)
    lifecycle = LifecycleHandler(requests, keys, in_force, clock)
    return Work(
        routes=routes(
            (commands.SubmitRequest, submit),
            (commands.ShowOptions, ShowOptionsHandler(in_force, clock)),
            (commands.ShowStatus, ShowStatusHandler(requests, in_force, clock)),
            (commands.ListRequests, ListRequestsHandler(requests, clock)),
            (commands.ListPublications, ListPublicationsHandler(requests, in_force, clock)),
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
        gates=[worker.open_gate("linter", linter.probe), *watched],
        background=[
            linter.warm_up,
            *(partial(gate.keep_probing, LOOK_EVERY_SECONDS) for gate in watched),
        ],
        without=[] if watched else ["blocklist"],
        finish=[lambda _: linter.aclose()],
    )


if __name__ == "__main__":
    sys.exit(main(Duty.INTAKE, IntakeSettings, wire))
