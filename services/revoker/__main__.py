"""The revoker's composition root."""

import sys
from datetime import timedelta

from services.revoker.accepting import Accepting
from services.revoker.adapters.certificates import MongoCampaigns, MongoCertificates
from services.revoker.adapters.digicert import DigiCertRevocation
from services.revoker.campaigning import ListCertificatesHandler, RevokeCampaignHandler, ShowCampaignHandler
from services.revoker.clocks import ClockRounds
from services.revoker.config import RevokerSettings
from services.revoker.confirming import ConfirmationHandler, ListRevocationsHandler, ShowRevocationHandler
from services.revoker.handlers import CertificateIssuedHandler, RevokeCertificateHandler
from services.revoker.revoking import Revoking
from shared.contracts import commands, events
from shared.digicert.opening import open_client
from shared.messaging.gate import Gate
from shared.messaging.runtime import routes
from shared.messaging.schedule import Schedule
from shared.observability.metrics import RevocationMetrics
from shared.rabbit.link import Subscription
from shared.rabbit.topology import commands_queue, events_queue
from shared.vocabulary.duties import Duty
from shared.worker import Work, Worker, main

CLOCKS_SECONDS = 15.0
"""How often it is looked how much of their time the open revocations have used: hours, of a day at least."""


def wire(worker: Worker[RevokerSettings], gate: Gate) -> Work:
    """Put the revoker together."""
    settings, in_force, clock = worker.settings, worker.in_force, worker.clock
    certificates, campaigns = MongoCertificates(worker.database), MongoCampaigns(worker.database)
    accepting = Accepting(in_force, worker.key, clock)
    client = open_client(settings.ca, worker.registry)
    revoking = Revoking(
        certificates=certificates,
        ca=DigiCertRevocation(client),
        publish=worker.publish,
        in_force=worker.in_force,
        key=worker.key,
        clock=clock,
        lease=timedelta(seconds=settings.ca.timeout_seconds * 2),
        poll=timedelta(seconds=settings.ca.poll_seconds),
    )
    schedule = Schedule(
        certificates,
        revoking.advance,
        clock=clock,
        gate=gate,
        concurrency=settings.ca.concurrency,
        on_done=worker.messages.work_done,
        on_failure=worker.messages.work_failed,
    )
    issued = CertificateIssuedHandler(certificates, in_force, worker.evidence, clock)
    confirmation = ConfirmationHandler(certificates, in_force, clock, schedule.offer)
    clocks = ClockRounds(
        certificates=certificates,
        metrics=RevocationMetrics(worker.registry),
        clock=clock,
        gate=gate,
        every_seconds=CLOCKS_SECONDS,
        on_failure=worker.messages.work_failed,
    )
    return Work(
        routes=routes(
            (events.CertificateIssued, issued),
            (events.CertificateQuarantined, issued),
            (commands.RevokeCertificate, RevokeCertificateHandler(certificates, accepting, schedule.offer)),
            (commands.RevokeCampaign, RevokeCampaignHandler(certificates, campaigns, accepting, schedule.offer)),
            (commands.ShowCampaign, ShowCampaignHandler(certificates, campaigns, accepting)),
            (commands.ListCertificates, ListCertificatesHandler(certificates, accepting)),
            (commands.ConfirmRevocation, confirmation),
            (commands.DenyRevocation, confirmation),
            (commands.ShowRevocation, ShowRevocationHandler(certificates, in_force, clock)),
            (commands.ListRevocations, ListRevocationsHandler(certificates, in_force, clock)),
        ),
        subscriptions=lambda: [
            Subscription(events_queue(Duty.REVOKER), settings.broker.prefetch),
            Subscription(commands_queue(Duty.REVOKER), settings.broker.prefetch),
        ],
        background=[schedule.run, clocks.run],
        finish=[schedule.finish, lambda _: client.aclose()],
    )


if __name__ == "__main__":
    sys.exit(main(Duty.REVOKER, RevokerSettings, wire))
