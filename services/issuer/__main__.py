"""The issuer's composition root."""

import sys
from datetime import timedelta

from services.issuer.adapters.digicert import DigiCertAuthority
from services.issuer.adapters.orders import MongoOrders, MongoRefusals
from services.issuer.adapters.roots import read_roots
from services.issuer.config import IssuerSettings
from services.issuer.fit import FitChecks
from services.issuer.handlers import DenialWitness, DownloadCertificateHandler, RequestApprovedHandler
from services.issuer.ordering import Ordering, Pace
from shared.contracts import commands, events
from shared.digicert.opening import open_client
from shared.messaging.gate import Gate
from shared.messaging.runtime import routes
from shared.messaging.schedule import Schedule
from shared.rabbit.link import Subscription
from shared.rabbit.topology import commands_queue, events_queue
from shared.vocabulary.duties import Duty
from shared.worker import Work, Worker, main


def wire(worker: Worker[IssuerSettings], gate: Gate) -> Work:
    """Put the issuer together."""
    settings, in_force, clock = worker.settings, worker.in_force, worker.clock
    orders, refusals = MongoOrders(worker.database), MongoRefusals(worker.database)
    client = open_client(settings.ca, worker.registry)
    ca = DigiCertAuthority(client)
    ordering = Ordering(
        orders=orders,
        ca=ca,
        fit=FitChecks(ca, clock),
        publish=worker.link.publish,
        in_force=in_force,
        key=worker.key,
        roots=read_roots(settings.ca.roots_file),
        metrics=worker.evidence,
        clock=clock,
        pace=Pace(
            lease=timedelta(seconds=settings.ca.timeout_seconds * 2),
            lookup_lag=timedelta(seconds=settings.ca.lookup_lag_seconds),
            poll=timedelta(seconds=settings.ca.poll_seconds),
        ),
    )
    schedule = Schedule(
        orders,
        ordering.advance,
        clock=clock,
        gate=gate,
        concurrency=settings.ca.concurrency,
        on_done=worker.messages.work_done,
        on_failure=worker.messages.work_failed,
    )
    approved = RequestApprovedHandler(orders, refusals, in_force, worker.evidence, clock, schedule.offer)
    return Work(
        routes=routes(
            (events.RequestApproved, approved),
            (commands.DenyRequest, DenialWitness(orders, in_force, clock)),
            (commands.DownloadCertificate, DownloadCertificateHandler(orders, in_force, clock)),
        ),
        subscriptions=lambda: [
            Subscription(events_queue(Duty.ISSUER), settings.broker.prefetch),
            Subscription(commands_queue(Duty.ISSUER), settings.broker.prefetch),
        ],
        background=[schedule.run],
        finish=[schedule.finish, lambda _: client.aclose()],
    )


if __name__ == "__main__":
    sys.exit(main(Duty.ISSUER, IssuerSettings, wire))
