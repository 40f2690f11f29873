"""Intake's composition root."""

import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from services.intake.adapters.blocklist import BlocklistFolder
from services.intake.adapters.keys import MongoKeys
from services.intake.adapters.requests import MongoRequests
from services.intake.adapters.smtp import SmtpServer
from services.intake.adapters.tallies import MongoTallies
from services.intake.announcing import Announcer
from services.intake.blocking import KeyBlockedHandler
from services.intake.config import IntakeSettings, MailSettings
from services.intake.handlers import (
    ExportEvidenceHandler,
    LifecycleHandler,
    ListPublicationsHandler,
    ListRequestsHandler,
    ShowOptionsHandler,
    ShowStatusHandler,
    SubmitRequestHandler,
)
from services.intake.keeping import DeliveryHandler, ErasureHandler
from services.intake.mail.allowance import Allowance
from services.intake.mail.composing import Composer
from services.intake.mail.counting import MailCount
from services.intake.mail.ports import SERVER
from services.intake.mail.queueing import Pace
from services.intake.mail.sending import Sending
from services.intake.mail.templates import Templates
from services.intake.summary import ShowSummaryHandler
from services.intake.tallying import Changes, Tallying, TallyRounds
from services.intake.warning import ExpiryWarnings
from shared.contracts import commands, events
from shared.contracts.catalogue import EVENTS
from shared.lint.worker import LintWorker
from shared.messaging.gate import Gate
from shared.messaging.runtime import routes
from shared.messaging.schedule import Schedule, milliseconds
from shared.observability.metrics import MailMetrics, RequestMetrics, note_blocklist
from shared.rabbit.link import Subscription
from shared.rabbit.topology import commands_queue, events_queue, submissions_queue, submitters
from shared.vocabulary.duties import Duty
from shared.worker import Work, Worker, main

SUBMISSIONS_IN_HAND = 4
"""Of each identity at once: whoever submits much waits behind whoever submits little."""

LOOK_EVERY_SECONDS = 10.0
"""How often intake looks whether its blocklist can be used."""

WARN_EVERY_SECONDS = 60.0
"""How often intake looks for certificates that are about to expire; which ones, is known long before."""

MAIL_SESSIONS = 2
"""With the mail server, at once."""


@dataclass(frozen=True)
class Jobs:
    """What runs by itself, and what ends it."""

    run: tuple[Callable[[], Awaitable[None]], ...] = ()
    finish: tuple[Callable[[float], Awaitable[None]], ...] = ()


def wire_mail(
    worker: Worker[IntakeSettings],
    mailing: MailSettings | None,
    metrics: MailMetrics,
    requests: MongoRequests,
    gate: Gate,
) -> Jobs:
    """Put together what sends mails, if mails are sent."""
    if mailing is None:
        return Jobs()
    server = SmtpServer(mailing)
    server_there = worker.open_gate(SERVER, server.probe, longest_pause=mailing.retry_seconds)
    sending = Sending(
        requests=requests,
        server=server,
        composer=Composer(Templates(mailing.templates), mailing.from_address, mailing.organisation, mailing.footer),
        allowance=Allowance(mailing.request_mails_per_hour, worker.clock.now),
        database=gate,
        gate=server_there,
        metrics=metrics,
        clock=worker.clock,
        turn=timedelta(seconds=mailing.turn_seconds),
        lease=timedelta(seconds=mailing.lease_seconds),
        pace=Pace(milliseconds(mailing.retry_seconds), milliseconds(mailing.longest_retry_seconds), mailing.tries),
    )
    schedule = Schedule(
        requests,
        sending.advance,
        clock=worker.clock,
        gate=gate,
        concurrency=MAIL_SESSIONS,
        on_done=worker.messages.work_done,
        on_failure=worker.messages.work_failed,
        before=[server_there],
    )
    counting = MailCount(requests, gate, metrics, worker.clock)
    return Jobs(
        (sending.look, schedule.run, counting.run),
        (sending.finish, schedule.finish, lambda _: server_there.aclose()),
    )


def wire_warnings(worker: Worker[IntakeSettings], warnings: ExpiryWarnings, gate: Gate) -> Jobs:
    """Put together what warns of certificates that are about to expire."""
    schedule = Schedule(
        warnings,
        warnings.advance,
        clock=worker.clock,
        gate=gate,
        concurrency=1,
        on_done=worker.messages.work_done,
        on_failure=worker.messages.work_failed,
        every_seconds=WARN_EVERY_SECONDS,
    )
    return Jobs((schedule.run,), (schedule.finish,))


def wire(worker: Worker[IntakeSettings], gate: Gate) -> Work:
    """Put intake together."""
    changes = Changes()
    requests, keys = MongoRequests(worker.database, changes.note), MongoKeys(worker.database)
    tallies = MongoTallies(worker.database)
    linter = LintWorker()
    blocklist = BlocklistFolder(worker.settings.screening.blocklist)
    watched = [] if blocklist.folder is None else [worker.open_gate("blocklist", blocklist.probe)]
    note_blocklist(worker.registry, lambda: any(each.is_open for each in watched))
    in_force, clock, prefetch = worker.in_force, worker.clock, worker.settings.broker.prefetch
    mailing = worker.settings.mail
    mails = MailMetrics(worker.registry)
    announcer = Announcer(in_force, clock, mailing, on_given_up=mails.failed)
    mail = wire_mail(worker, mailing, mails, requests, gate)
    warnings = wire_warnings(worker, ExpiryWarnings(requests, announcer, worker.publish, clock), gate)
    submit = SubmitRequestHandler(requests, keys, in_force, blocklist, linter, worker.key, announcer, clock)
    lifecycle = LifecycleHandler(requests, keys, in_force, announcer, clock)
    rounds = TallyRounds(
        Tallying(requests, tallies),
        lambda: list(in_force.policy.file.approval_groups),
        changes,
        RequestMetrics(worker.registry),
        gate,
        every_seconds=worker.settings.summary.tally_seconds,
        on_failure=worker.messages.work_failed,
    )
    return Work(
        routes=routes(
            (commands.SubmitRequest, submit),
            (commands.ShowOptions, ShowOptionsHandler(in_force, clock)),
            (commands.ShowStatus, ShowStatusHandler(requests, in_force, clock)),
            (commands.ListRequests, ListRequestsHandler(requests, clock)),
            (commands.ShowSummary, ShowSummaryHandler(requests, tallies, in_force, clock)),
            (commands.ListPublications, ListPublicationsHandler(requests, in_force, clock)),
            (commands.ExportEvidence, ExportEvidenceHandler(requests, in_force, clock)),
            (events.KeyBlocked, KeyBlockedHandler(keys, in_force, clock)),
            (events.CertificateDelivered, DeliveryHandler(requests, in_force, clock)),
            (events.KeyErased, ErasureHandler(requests, in_force, announcer, clock)),
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
            rounds.run,
            *(partial(each.keep_probing, LOOK_EVERY_SECONDS) for each in watched),
            *mail.run,
            *warnings.run,
        ],
        without=[name for name, has in (("blocklist", watched), ("mail", mailing)) if not has],
        finish=[*mail.finish, *warnings.finish, lambda _: linter.aclose()],
    )


if __name__ == "__main__":
    sys.exit(main(Duty.INTAKE, IntakeSettings, wire))
