"""The issuer's composition root."""

import asyncio
import sys
from datetime import timedelta

from services.issuer.adapters.accounts import MongoAccounts
from services.issuer.adapters.digicert import DigiCertAuthority
from services.issuer.adapters.orders import MongoBlockedKeys, MongoFeedMarks, MongoOrders, MongoRefusals
from services.issuer.adapters.roots import read_roots
from services.issuer.blocking import KeyBlockedHandler
from services.issuer.books import Books, Pace
from services.issuer.config import IssuerSettings
from services.issuer.delivering import CertificateRevokedHandler, DownloadCertificateHandler
from services.issuer.erasing import Erasing
from services.issuer.feed import StatusFeed
from services.issuer.fit import FitChecks
from services.issuer.following import Following
from services.issuer.generating import Generating
from services.issuer.handlers import DenialWitness, RequestApprovedHandler
from services.issuer.inspection import Inspection
from services.issuer.making.worker import KeyWorkers
from services.issuer.operators import FailOrderHandler, ListOrdersHandler, SettleOrderHandler, ShowOrderHandler
from services.issuer.ordering import Ordering
from services.issuer.passwords import PasswordAskedHandler, Passwords, read_opening_keys, tell_missing
from services.issuer.recovering import Recovery
from services.issuer.rounds import Rounds
from services.issuer.sealed import EraseSealedHandler, ListSealedHandler
from services.issuer.withdrawing import WithdrawalAskedHandler
from shared.attestations import AttestationsBeside
from shared.contracts import commands, events
from shared.digicert.opening import open_client
from shared.lint.worker import LintWorker
from shared.messaging.gate import Gate
from shared.messaging.runtime import routes
from shared.messaging.schedule import Schedule
from shared.observability.lag import LoopLag
from shared.observability.metrics import OrderMetrics
from shared.rabbit.link import Subscription
from shared.rabbit.topology import commands_queue, events_queue
from shared.vocabulary.duties import Duty
from shared.worker import Work, Worker, main


def wire(worker: Worker[IssuerSettings], gate: Gate) -> Work:
    """Put the issuer together."""
    settings, in_force, clock = worker.settings, worker.in_force, worker.clock
    orders, refusals = MongoOrders(worker.database), MongoRefusals(worker.database)
    client = open_client(settings.ca, worker.registry, MongoAccounts(worker.database))
    ca = DigiCertAuthority(client, clock)
    linter = LintWorker()
    pace = Pace(
        lease=timedelta(seconds=settings.ca.timeout_seconds * 2),
        lookup_lag=timedelta(seconds=settings.ca.lookup_lag_seconds),
        poll=timedelta(seconds=settings.ca.poll_seconds),
        safety=timedelta(seconds=settings.ca.safety_look_seconds),
    )
    blocked = MongoBlockedKeys(worker.database)
    orders_wait = asyncio.Event()
    books = Books(orders, worker.publish, in_force, clock, pace)
    attestations = AttestationsBeside(settings.policy, clock)
    fit = FitChecks(ca, in_force, attestations.until, worker.key, worker.publish, clock, worker.messages.work_failed)
    erasing = Erasing(in_force, worker.key, clock)
    passwords = Passwords(read_opening_keys(settings.opening_key_files))
    tell_missing(passwords, in_force.policy)
    maker, packer = KeyWorkers(), KeyWorkers()
    generating = Generating(maker, packer, passwords, clock)
    ordering = Ordering(
        books=books,
        recovery=Recovery(ca, clock, pace, begun=clock.now()),
        following=Following(books, ca, on_pending=orders_wait.set),
        ca=ca,
        blocked=blocked,
        fit=fit,
        in_force=in_force,
        key=worker.key,
        inspection=Inspection(linter, in_force, read_roots(settings.ca.roots_file), clock),
        generating=generating,
        erasing=erasing,
        metrics=worker.evidence,
        clock=clock,
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
    generating.offer = schedule.offer
    feed = StatusFeed(orders, MongoFeedMarks(worker.database), ca, schedule.offer, clock, pace.poll)
    rounds = Rounds(
        orders=orders,
        feed=feed,
        quota_used=client.quota_used,
        metrics=OrderMetrics(worker.registry),
        clock=clock,
        gate=gate,
        poll_seconds=settings.ca.poll_seconds,
        on_failure=worker.messages.work_failed,
        wake=orders_wait,
    )
    approved = RequestApprovedHandler(orders, refusals, in_force, worker.evidence, clock, schedule.offer)
    download = DownloadCertificateHandler(orders, worker.publish, in_force, worker.key, erasing, clock)
    return Work(
        routes=routes(
            (events.RequestApproved, approved),
            (events.KeyBlocked, KeyBlockedHandler(blocked, in_force, clock)),
            (events.WithdrawalAsked, WithdrawalAskedHandler(orders, in_force, erasing, clock)),
            (events.PasswordAsked, PasswordAskedHandler(passwords, in_force, worker.evidence, clock)),
            (events.CertificateRevoked, CertificateRevokedHandler(orders, in_force, erasing, clock)),
            (commands.DenyRequest, DenialWitness(orders, in_force, clock)),
            (commands.DownloadCertificate, download),
            (commands.ListSealed, ListSealedHandler(orders, in_force, clock)),
            (commands.EraseSealed, EraseSealedHandler(orders, in_force, erasing, clock)),
            (commands.ListOrders, ListOrdersHandler(orders, in_force, clock)),
            (commands.ShowOrder, ShowOrderHandler(orders, in_force, feed.age, clock)),
            (commands.SettleOrder, SettleOrderHandler(orders, in_force, clock, schedule.offer)),
            (commands.FailOrder, FailOrderHandler(orders, in_force, clock, schedule.offer)),
        ),
        subscriptions=lambda: [
            Subscription(events_queue(Duty.ISSUER), settings.broker.prefetch),
            Subscription(commands_queue(Duty.ISSUER), settings.broker.prefetch),
        ],
        background=[linter.warm_up, LoopLag(worker.registry).run, fit.run, schedule.run, rounds.run],
        finish=[
            schedule.finish,
            *(lambda _, end=end: end() for end in (generating.aclose, maker.aclose, packer.aclose)),
            lambda _: linter.aclose(),
            lambda _: client.aclose(),
        ],
    )


if __name__ == "__main__":
    sys.exit(main(Duty.ISSUER, IssuerSettings, wire))
