"""`ra orders reconcile` with a view-only key against the real sandbox: whatever is done there behind our back shows."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner, Result

from services.desk.__main__ import app
from services.desk.exits import Exit
from shared.contracts import commands
from shared.contracts.replies import Publication, PublicationsResult
from shared.evidence.anchor import Anchor
from shared.messaging.messages import Received
from shared.vocabulary.model import Model
from shared.vocabulary.names import ApprovalGroupName
from shared.vocabulary.states import State
from shared.x509.csr import parse_csr
from tests import world
from tests.fakes import publications
from tests.fakes.client_session import FakeBroker
from tests.sandbox.process import SandboxProcess, start_sandbox
from tests.world import Approved

NAME = "www.example.com"
DAY_SECONDS = 86_400.0


@dataclass
class Account:
    """The CA's account, what is done to it with the key that orders, and what was published."""

    folder: Path
    sandbox: SandboxProcess
    http: httpx.Client
    broker: FakeBroker = field(default_factory=FakeBroker)
    published: list[Publication] = field(default_factory=list)
    complete: bool = True

    def __post_init__(self) -> None:
        self.broker.answers[commands.ListPublications] = self._page
        (self.folder / "password").write_text("secret")
        (self.folder / "key").write_text(self.sandbox.key("view-only"))
        (self.folder / "anchor.json").write_bytes(Anchor.of(world.policy()).canonical())
        (self.folder / "known").write_text(f"# before us\n{self.sandbox.info['imported_order_id']} # seen\n\n")
        (self.folder / "profile.toml").write_text(
            'identity = "olga"\n[broker]\nhost = "h"\nport = 1\nvirtual_host = "v"\npassword_file = "password"\n'
            '[trust]\nanchor_file = "anchor.json"\n'
            f'[ca]\nurl = "{self.sandbox.base_url}"\napi_key_file = "key"\nrate_windows = []\n'
        )

    def _page(self, message: Received[Model]) -> PublicationsResult:
        """One publication in each answer, so that there are many pages."""
        ask = message.data
        assert isinstance(ask, commands.ListPublications)
        found = sorted(self.published, key=lambda each: each.request_id)
        left = [each for each in found if ask.after is None or each.request_id > ask.after]
        return PublicationsResult(
            publications=tuple(left[:1]),
            more=len(left) > 1,
            groups=(ApprovalGroupName("web"),),
            complete=self.complete,
        )

    def call(self, method: str, path: str, body: object = None, *, role: str = "admin") -> Any:
        answer = self.http.request(method, path, json=body, headers={"X-DC-DEVKEY": self.sandbox.key(role)})
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def place(self, csr: str, *, alternative: str) -> dict[str, Any]:
        """An order with the key of the issuer."""
        body = {
            "certificate": {"common_name": NAME, "csr": csr, "signature_hash": "sha256"},
            "organization": {"id": self.sandbox.info["organization_id"]},
            "order_validity": {"days": 90},
            "skip_approval": True,
            "alternative_order_id": alternative,
        }
        return dict(self.call("POST", "/order/certificate/ssl_basic", body, role="orders"))

    def place_for(self, begun: Approved, *, alternative: str = "ours") -> dict[str, Any]:
        return self.place(parse_csr(begun.revision.csr or b"").pem, alternative=alternative)

    def issue(self, *, alternative: str = "ours", **of_issuance: object) -> dict[str, Any]:
        """A request that was approved, ordered, issued and published."""
        begun = world.approved(world.content(csr=world.make_csr(NAME)))
        order = self.place_for(begun, alternative=alternative)
        chain = [x509.load_pem_x509_certificate(each["pem"].encode()) for each in order["certificate_chain"]]
        fields = {"order_id": order["id"], "certificate_id": order["certificate_id"]}
        said = publications.issuance_of(
            begun,
            [certificate.public_bytes(Encoding.DER) for certificate in chain],
            **fields | {"alternative_order_id": alternative} | of_issuance,
        )
        self.published.append(publications.issued(begun, said))
        return order

    def run(self, *arguments: str) -> Result:
        options = ["--profile", str(self.folder / "profile.toml"), "--known", str(self.folder / "known")]
        return CliRunner().invoke(app, ["orders", "reconcile", *options, *arguments])

    def report(self, *arguments: str) -> dict[str, Any]:
        """What it says to a program; the exit status says the same."""
        result = self.run("--json", *arguments)
        assert result.exit_code in {Exit.OK, Exit.REFUSED}, result.output
        report: dict[str, Any] = json.loads(result.stdout)
        wrong = [each for each in report["discrepancies"] if each["finding"]["severity"] != "note"]
        assert result.exit_code == (Exit.REFUSED if wrong else Exit.OK)
        return report

    def found(self, *arguments: str) -> list[tuple[str, int | None]]:
        """The kinds of what is found, with the numbers of the orders."""
        return [
            (each["finding"]["code"].removeprefix("reconcile."), each["order_id"])
            for each in self.report(*arguments)["discrepancies"]
        ]


@pytest.fixture
def account(account_folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: Any) -> Iterator[Account]:
    with (
        start_sandbox(account_folder) as sandbox,
        httpx.Client(base_url=sandbox.base_url, trust_env=False, timeout=20) as http,
    ):
        made = Account(tmp_path_factory.mktemp("desk"), sandbox, http)
        monkeypatch.setattr("services.desk.frame.connect", made.broker.connect)
        yield made


def test_an_account_that_is_as_it_was_published_is_clean_and_the_key_only_looked(account: Account) -> None:
    for number in range(3):
        account.issue(alternative=f"ours-{number}")
    account.sandbox.set_knobs(immediate_issuance=False, validation_delay_seconds=None)
    waiting = world.approved(world.content(csr=world.make_csr(NAME)))
    placed = account.place_for(waiting, alternative="waiting")
    account.published.append(publications.published(waiting, State.ORDERED, order_id=placed["id"]))
    denied = world.accepted()
    account.published.append(publications.published(denied, State.DENIED, verdict=None))
    before = account.sandbox.calls()["total"]
    report = account.report()
    assert report["discrepancies"] == []
    assert (report["requests"], report["orders"], report["complete"]) == (5, 5, True)
    made = account.sandbox.calls(before)["calls"]
    assert {(call["method"], call["status"]) for call in made} == {("GET", 200)}
    assert len(made) == 5, "one page of the list, and the page of each order but the known one"
    assert "Nothing is wrong." in account.run().stdout


def test_an_order_that_was_placed_with_the_stolen_key_is_an_orphan(account: Account, tmp_path: Path) -> None:
    account.issue()
    stolen = account.place(world.make_csr(NAME), alternative="mine")
    metrics = tmp_path / "ra.prom"
    result = account.run("--metrics-file", str(metrics))
    assert result.exit_code == Exit.REFUSED
    assert f"order {stolen['id']}, certificate {stolen['certificate_id']}" in result.stdout
    assert f"Revoke certificate {stolen['certificate_id']} at DigiCert" in result.stdout
    values = samples(metrics)
    assert {kind for kind, value in values.items() if value == 1} == {"orphan"}
    assert values["last_success"] > 0

    account.call("PUT", f"/order/certificate/{stolen['id']}/revoke", {"skip_approval": True})
    assert account.found() == [("orphan", stolen["id"])], "it stays one until somebody says that it is dealt with"
    (account.folder / "known").write_text(f"{account.sandbox.info['imported_order_id']}\n{stolen['id']}\n")
    assert account.found() == []


def samples(metrics: Path) -> dict[str, float]:
    """The number of discrepancies by kind, and when the last run succeeded."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(metrics.read_text()):
        for sample in family.samples:
            if sample.name == "ra_reconcile_discrepancies":
                found[sample.labels["kind"]] = sample.value
            if sample.name == "ra_reconcile_last_success_timestamp_seconds":
                found["last_success"] = sample.value
    return found


def test_a_second_order_for_a_request_is_a_duplicate_until_it_is_revoked(account: Account) -> None:
    account.issue()
    again = account.place(world.make_csr(NAME), alternative="ours")
    assert account.found() == [("duplicate", again["id"])]
    account.call("PUT", f"/certificate/{again['certificate_id']}/revoke", {"skip_approval": True})
    assert account.found() == []


def test_an_order_that_is_gone_at_the_ca_is_unknown_to_it(account: Account) -> None:
    account.issue(order_id=123_456)
    kinds = account.found()
    assert ("unknown-to-ca", 123_456) in kinds
    assert [kind for kind, _ in kinds] == ["unknown-to-ca", "duplicate"], "the one that was really placed is another"


def test_a_certificate_that_was_revoked_past_the_revoker_differs(account: Account) -> None:
    order = account.issue()
    account.call("PUT", f"/certificate/{order['certificate_id']}/revoke", {"skip_approval": True})
    assert account.found() == [("differs", order["id"])]
    account.published = [publications.revoked(each) for each in account.published]
    assert account.found() == []


def test_a_certificate_that_is_revoked_here_alone_differs(account: Account) -> None:
    order = account.issue()
    account.published = [publications.revoked(each) for each in account.published]
    for arguments in ((), ("--quick",)):
        (found,) = account.report(*arguments)["discrepancies"]
        assert (found["finding"]["code"], found["order_id"]) == ("reconcile.differs", order["id"])
        assert f"Revoke certificate {order['certificate_id']} at DigiCert at once" in found["proposal"]


@pytest.mark.parametrize(("kind", "quick"), [("reissue", 1), ("duplicate", 0)])
def test_another_certificate_within_our_order_differs_and_a_quick_look_may_miss_it(
    account: Account, kind: str, quick: int
) -> None:
    order = account.issue()
    wanted = {"common_name": NAME, "csr": world.make_csr(NAME), "signature_hash": "sha256"}
    account.call("POST", f"/order/certificate/{order['id']}/{kind}", {"certificate": wanted, "skip_approval": True})
    assert {*account.found()} == {("differs", order["id"])}
    assert len(account.found("--quick")) == quick


def test_an_order_under_way_is_a_note_and_becomes_a_warning(account: Account) -> None:
    begun = world.approved(world.content(csr=world.make_csr(NAME)))
    placed = account.place_for(begun)
    account.published.append(publications.published(begun, State.APPROVED))
    assert account.found() == [("in-flight", placed["id"])]
    assert account.found("--grace-minutes", "0") == [("overdue", placed["id"])]


def test_what_was_before_a_date_is_left_out_and_what_is_since_is_not(account: Account) -> None:
    old = account.place(world.make_csr(NAME), alternative="old")
    account.issue(alternative="published long ago", order_id=7)
    assert {kind for kind, _ in account.found()} == {"orphan", "unknown-to-ca", "duplicate"}
    account.sandbox.advance(3 * DAY_SECONDS)
    new = account.place(world.make_csr(NAME), alternative="new")
    created = {
        each["id"]: account.call("GET", f"/order/certificate/{each['id']}")["date_created"] for each in (old, new)
    }
    assert account.found("--since", created[new["id"]][:10]) == [("orphan", new["id"])]


def test_while_not_every_request_may_be_seen_orphans_are_not_told_apart(account: Account) -> None:
    account.issue()
    account.place(world.make_csr(NAME), alternative="another group's, perhaps")
    account.complete = False
    assert account.found() == [("partial", None)]
    assert "not all there are" in account.run().stdout
    assert account.found("--group", "web") == []


def test_a_group_that_may_not_be_audited_is_a_mistake(account: Account) -> None:
    result = account.run("--group", "mail")
    assert result.exit_code == Exit.USAGE
    assert "you may audit web" in result.stderr


def test_what_intake_shows_and_nobody_signed_is_not_believed(account: Account) -> None:
    order = account.issue()
    (publication,) = account.published
    account.published = [publication.model_copy(update={"verdict": None})]
    kinds = account.found()
    assert kinds == [("unproven", None), ("orphan", order["id"])]


def test_without_a_ca_nothing_is_said_and_the_metrics_of_the_last_run_stay(account: Account, tmp_path: Path) -> None:
    metrics = tmp_path / "ra.prom"
    assert account.run("--metrics-file", str(metrics)).exit_code == Exit.OK
    before = metrics.read_text()
    fault = {"kind": "answer", "endpoint": "order.list", "times": 1, "status": 503}
    account.sandbox.set_knobs(faults=[fault])
    assert account.run("--metrics-file", str(metrics)).exit_code == Exit.UNAVAILABLE
    (account.folder / "key").write_text("a key that nobody knows")
    unknown = account.run("--metrics-file", str(metrics))
    assert unknown.exit_code == Exit.CONFIGURATION
    assert "ca.key-unknown" in unknown.stderr
    account.sandbox.stop()
    assert account.run("--metrics-file", str(metrics)).exit_code == Exit.UNAVAILABLE
    assert metrics.read_text() == before


def test_the_ca_may_be_named_on_the_command_line_and_else_must_stand_in_the_profile(account: Account) -> None:
    profile = account.folder / "profile.toml"
    profile.write_text(profile.read_text().partition("[ca]")[0])
    missing = account.run()
    assert missing.exit_code == Exit.USAGE
    assert "--ca-url and --ca-key" in missing.stderr
    named = ("--ca-url", account.sandbox.base_url, "--ca-key", str(account.folder / "key"))
    assert account.run(*named).exit_code == Exit.OK
    profile.write_text(profile.read_text().partition("[trust]")[0])
    assert account.run(*named).exit_code == Exit.CONFIGURATION


def test_a_line_of_the_file_of_known_orders_that_is_no_number_is_a_mistake(account: Account) -> None:
    (account.folder / "known").write_text("12\nabc\n")
    result = account.run()
    assert result.exit_code == Exit.USAGE
    assert "line 2" in result.stderr
