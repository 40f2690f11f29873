"""Revocations that wait: for people to confirm them, for the CA, and against the clock."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from services.revoker.clocks import ClockRounds
from shared.contracts import commands
from shared.contracts.statement import JwsStatement
from shared.errors import RefusedError
from shared.evidence.jws import Typ, payload_of
from shared.evidence.revocations import confirmed_by
from shared.evidence.steps import Revocation, RevocationConfirmation
from shared.messaging.gate import Gate
from shared.observability.metrics import RevocationMetrics
from shared.vocabulary.names import RequestId
from shared.vocabulary.reasons import RevocationReason
from shared.vocabulary.revocations import CertificateState, Confirmation
from tests import world
from tests.fakes.duties import Revoker, data_of
from tests.fakes.lives import begin
from tests.fakes.revocations import Issued, issued
from tests.world import signing_key

GROUP = "[approval_groups.web]\n"
DEMANDING = world.policy_text(**{GROUP: GROUP + "revocation_approvals = { superseded = 2 }\n"})
ASKED, REVOKED, FAILED = "ra.revocation.asked.v1", "ra.certificate.revoked.v1", "ra.revocation.failed.v1"


async def waiting(by: str = "shop") -> Issued:
    case = await issued(revoker=Revoker(DEMANDING))
    result = (await case.revoker.ask(case.revocation(), by=by)).result
    assert (result.awaits, result.state) == (2, "issued")  # type: ignore[union-attr]  # it has one
    return case


async def word(
    case: Issued, by: str, kind: Confirmation = Confirmation.CONFIRM, *, signer: str | None = None, **changes: object
) -> Any:
    """The command with this person's word on what waits."""
    stored = await case.stored()
    said = RevocationConfirmation.model_validate(
        {
            "request_id": stored.id,
            "revocation_id": stored.asked.id,
            "certificate": stored.digest,
            "reason": stored.asked.reason,
            "confirmation": kind,
            "approver": by,
            **changes,
        }
    )
    token = signing_key(signer or by).sign(said.canonical(), Typ.CONFIRMATION, case.revoker.clock.now())
    made = commands.ConfirmRevocation if kind is Confirmation.CONFIRM else commands.DenyRevocation
    return made(request_id=stored.id, confirmation=JwsStatement(jws=token))


async def test_it_waits_until_as_many_people_as_the_policy_demands_have_confirmed_it() -> None:
    case = await waiting()
    await case.revoker.work_off()
    assert case.revoker.ca.calls == 0
    first = (await case.revoker.ask(await word(case, "alice"), by="alice")).result
    assert (first.revocation.state, first.revocation.confirmed_by) == ("requested", ("alice",))  # type: ignore[union-attr]  # it has one
    await case.revoker.ask(await word(case, "alice"), by="alice")  # one person counts once
    await case.revoker.work_off()
    assert case.revoker.ca.calls == 0
    await case.revoker.ask(await word(case, "ben"), by="ben")
    await case.revoker.work_off()
    assert [message.type for message in case.happened()] == [ASKED, REVOKED]
    said = Revocation.read(payload_of(data_of(case.happened()[-1])["revocation"]), code="x")
    anchor = case.revoker.in_force.anchor
    assert confirmed_by(said, anchor, now=case.revoker.clock.now()) == ("alice", "ben")
    for changes in ({"requested_by": "ben"}, {"confirmations": said.confirmations[:1] * 2}, {"reason": "unspecified"}):
        forged = Revocation.model_validate({**said.model_dump(), **changes})
        with pytest.raises(RefusedError, match="confirmed"):
            confirmed_by(forged, anchor, now=case.revoker.clock.now())


async def test_a_denial_ends_it_and_it_can_be_asked_for_again() -> None:
    case = await waiting()
    await case.revoker.ask(await word(case, "ben", Confirmation.DENY, note="still in use"), by="ben")
    assert [message.type for message in case.happened()] == [ASKED, FAILED]
    assert "still in use" in data_of(case.happened()[-1])["findings"][0]["message"]
    assert (await case.stored()).state is CertificateState.LIVE
    assert (await case.revoker.ask(case.revocation(), by="shop")).result.awaits == 2  # type: ignore[union-attr]  # it has one


@pytest.mark.parametrize(
    ("by", "made", "code"),
    [
        ("alice", {"signer": "ben"}, "evidence.unknown-key"),
        ("alice", {"revocation_id": "0190a0c0-2222-4000-8000-000000000002"}, "revocation.outdated"),
        ("alice", {"reason": "unspecified"}, "revocation.outdated"),
        ("alice", {"approver": "ben", "signer": "ben"}, "revocation.confirmation-foreign"),
        ("olga", {"approver": "alice", "signer": "alice"}, "revocation.unknown"),
        ("shop", {"approver": "alice", "signer": "alice"}, "revocation.unknown"),
    ],
)
async def test_only_a_persons_own_word_on_this_revocation_counts(by: str, made: dict[str, Any], code: str) -> None:
    case = await waiting()
    before = await case.stored()
    assert await case.revoker.refused(await word(case, by, **made), by=by) == [code]
    assert await case.stored() == before


async def test_who_asks_can_not_confirm_it() -> None:
    text = DEMANDING.replace('permissions.web = ["decide"', 'permissions.web = ["revoke", "decide"')
    case = await issued(revoker=Revoker(text))
    await case.revoker.ask(case.revocation(), by="alice")
    assert await case.revoker.refused(await word(case, "alice"), by="alice") == ["revocation.by-asker"]


async def test_what_does_not_wait_can_not_be_confirmed() -> None:
    case = await issued()
    await case.revoke()
    assert await case.revoker.refused(await word(case, "alice"), by="alice") == ["revocation.not-waiting"]


async def test_a_key_compromise_and_what_is_quarantined_wait_for_nobody() -> None:
    case = await waiting()
    compromise = case.revocation(RevocationReason.KEY_COMPROMISE)
    assert (await case.revoker.ask(compromise, by="shop")).result.awaits == 0  # type: ignore[union-attr]  # it has one
    await case.revoker.work_off()
    assert (await case.stored()).state is CertificateState.REVOKED
    held = await issued(begin().approved().quarantined(), revoker=Revoker(DEMANDING))
    await held.revoke(by="olga")
    await held.revoker.work_off()
    assert (await held.stored()).state is CertificateState.REVOKED


def test_no_policy_can_make_a_key_compromise_wait() -> None:
    with pytest.raises(RefusedError, match="waits for nobody"):
        world.policy(DEMANDING.replace("superseded = 2", "keyCompromise = 1"))


async def test_what_waits_is_listed_and_shown_to_those_of_its_group() -> None:
    case = await waiting()
    listed: Any = (await case.revoker.ask(commands.ListRevocations(), by="alice")).result
    assert [each.request_id for each in listed.revocations] == [case.id]
    serial = commands.ShowRevocation(serial_number=(await case.stored()).serial_number)
    assert (await case.revoker.ask(serial, by="shop")).result.revocation == listed.revocations[0]  # type: ignore[union-attr]  # it has one
    assert await case.revoker.refused(serial, by="portal") == ["revocation.unknown"]
    assert await case.revoker.refused(commands.ListRevocations(), by="portal") == ["identity.not-permitted"]
    fresh = await issued()
    assert await fresh.revoker.refused(commands.ShowRevocation(request_id=fresh.id), by="shop") == ["revocation.none"]


# --- the CA ---------------------------------------------------------------------------------------------------------


async def test_a_request_that_the_ca_makes_of_it_is_approved_there() -> None:
    case = await issued()
    case.revoker.ca.wants_approval = True
    await case.revoke()
    await case.revoker.work_off()
    assert (await case.stored()).state is CertificateState.REVOKED
    assert case.revoker.ca.calls == 1


async def test_a_request_of_ours_is_found_again_when_the_answer_was_lost() -> None:
    case = await issued()
    case.revoker.ca.wants_approval, case.revoker.ca.silent = True, True
    await case.revoke()
    await case.revoker.work_off()
    assert (await case.stored()).state is CertificateState.REVOKED
    assert case.revoker.ca.calls == 1


async def test_a_rejection_at_the_ca_ends_it() -> None:
    case = await issued()
    case.revoker.ca.wants_approval, case.revoker.ca.approves = True, False
    await case.revoke()
    await case.revoker.revoking.advance(await case.stored())
    case.revoker.ca.rejected.add(1)
    await case.revoker.work_off()
    assert [message.type for message in case.happened()] == [ASKED, FAILED]


async def test_a_pending_reissue_is_waited_out_ever_longer() -> None:
    case = await issued()
    case.revoker.ca.reissue = True
    await case.revoke()
    waits = []
    for _ in range(3):
        case.revoker.clock.advance(timedelta(hours=1))
        await case.revoker.revoking.advance(await case.stored())
        stored = await case.stored()
        assert [found.code for found in stored.asked.findings] == ["revocation.reissue-pending"]
        waits.append((stored.due or 0) - int(case.revoker.clock.now().timestamp() * 1000))
    assert waits[1] == 2 * waits[0]
    assert waits[2] == 4 * waits[0]
    case.revoker.ca.reissue = False
    await case.revoker.work_off()
    assert (await case.stored()).state is CertificateState.REVOKED


async def test_what_was_revoked_elsewhere_is_recorded_as_such() -> None:
    case = await issued()
    case.revoker.ca.revoked.append(((await case.stored()).certificate_id, RevocationReason.SUPERSEDED))
    await case.revoke()
    await case.revoker.work_off()
    assert Revocation.read(payload_of(data_of(case.happened()[-1])["revocation"]), code="x").elsewhere


async def test_a_busy_ca_is_asked_again_when_it_says() -> None:
    case = await issued()
    case.revoker.ca.busy = True
    await case.revoke()
    await case.revoker.revoking.advance(await case.stored())
    assert (await case.stored()).due == int((case.revoker.clock.now().timestamp() + 7) * 1000)


# --- the clock ------------------------------------------------------------------------------------------------------


@dataclass
class Clocks:
    revoker: Revoker
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        self.rounds = ClockRounds(
            self.revoker.certificates,
            RevocationMetrics(self.registry),
            self.revoker.clock,
            Gate("database", self._probe, on_change=lambda _: None),
            1.0,
            lambda: None,
        )

    async def _probe(self) -> None:
        """It is there."""

    async def look(self) -> tuple[list[Any], list[float | None]]:
        """What is logged and counted in a round."""
        with capture_logs() as logs:
            await self.rounds.look()
        counts = [
            self.registry.get_sample_value("ra_revocations_open", {"used": mark}) for mark in ("0", "50", "80", "100")
        ]
        return [(entry["log_level"], entry["used"]) for entry in logs], counts


async def test_operators_are_told_once_each_when_half_most_and_all_of_the_time_is_over() -> None:
    case = await issued()
    case.revoker.ca.away = True
    await case.revoke()
    clocks, day = Clocks(case.revoker), timedelta(days=1)
    assert await clocks.look() == ([], [1, 0, 0, 0])
    case.revoker.clock.advance(2.5 * day)
    assert await clocks.look() == ([("warning", "50 %")], [1, 1, 0, 0])
    assert await clocks.look() == ([], [1, 1, 0, 0])
    case.revoker.clock.advance(1.5 * day)
    assert await clocks.look() == ([("warning", "80 %")], [1, 1, 1, 0])
    case.revoker.clock.advance(day)
    assert await clocks.look() == ([("error", "100 %")], [1, 1, 1, 1])
    assert clocks.registry.get_sample_value("ra_revocation_clock_used_ratio") == 1.0
    case.revoker.ca.away = False
    await case.revoker.work_off()
    assert await clocks.look() == ([], [0, 0, 0, 0])
    assert RequestId(case.id) not in clocks.rounds.told


async def test_a_clock_runs_on_after_the_ca_refused_until_it_is_revoked_or_has_expired() -> None:
    case = await issued()
    case.revoker.ca.refuses = True
    await case.revoke()
    await case.revoker.work_off()
    assert (await case.stored()).state is CertificateState.LIVE
    clocks = Clocks(case.revoker)
    case.revoker.clock.advance(timedelta(days=6))
    assert await clocks.look() == ([("error", "100 %")], [1, 1, 1, 1])
    case.revoker.clock.advance((await case.stored()).not_after - case.revoker.clock.now() + timedelta(seconds=1))
    assert await clocks.look() == ([], [0, 0, 0, 0])


async def test_a_key_that_lost_its_right_ends_no_revocation() -> None:
    case = await issued()
    case.revoker.ca.forbids = True
    await case.revoke()
    for waits in (1, 2):
        await case.revoker.revoking.advance(await case.stored())
        stored = await case.stored()
        assert (stored.state, stored.asked.waits) == (CertificateState.REVOKING, waits)
        assert [found.code for found in stored.asked.findings] == ["revocation.no-right-there", "ca.refused"]
    case.revoker.ca.forbids = False
    await case.revoker.work_off()
    assert [message.type for message in case.happened()] == [ASKED, REVOKED]


async def test_what_a_refused_key_compromise_has_overtaken_goes_on_where_it_was() -> None:
    case = await issued()
    case.revoker.ca.wants_approval, case.revoker.ca.approves = True, False
    await case.revoke()
    await case.revoker.revoking.advance(await case.stored())
    first = (await case.stored()).asked
    case.revoker.ca.refuses = True
    await case.revoker.ask(case.revocation(RevocationReason.KEY_COMPROMISE), by="shop")
    await case.revoker.revoking.advance(await case.stored())
    back = await case.stored()
    assert (back.state, back.asked.id, back.asked.ca_request) == (CertificateState.REVOKING, first.id, 1)
    assert back.deadline_ms == int(first.deadline.timestamp() * 1000)
    case.revoker.ca.approves = True
    await case.revoker.work_off()
    assert (await case.stored()).revoked_for is RevocationReason.SUPERSEDED
    assert [message.type for message in case.happened()][-2:] == [FAILED, REVOKED]
    assert case.revoker.ca.calls == 2


async def test_what_waits_for_people_waits_on_after_a_refused_key_compromise() -> None:
    case = await waiting()
    await case.revoker.ask(await word(case, "alice"), by="alice")
    case.revoker.ca.refuses = True
    await case.revoker.ask(case.revocation(RevocationReason.KEY_COMPROMISE), by="shop")
    await case.revoker.work_off()
    back = await case.stored()
    assert (back.state, back.due, back.asked.confirmed_by) == (CertificateState.REQUESTED, None, ("alice",))
    case.revoker.ca.refuses = False
    await case.revoker.ask(await word(case, "ben"), by="ben")
    await case.revoker.work_off()
    assert (await case.stored()).revoked_for is RevocationReason.SUPERSEDED


async def test_a_request_for_a_key_compromise_is_found_again_when_the_answer_was_lost() -> None:
    case = await issued()
    await case.revoke()
    await case.revoker.ask(case.revocation(RevocationReason.KEY_COMPROMISE), by="shop")
    case.revoker.ca.wants_approval, case.revoker.ca.silent = True, True
    await case.revoker.work_off()
    assert (await case.stored()).revoked_for is RevocationReason.KEY_COMPROMISE
    assert case.revoker.ca.calls == 1
