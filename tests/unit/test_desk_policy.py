"""What `ra policy` says of a policy, and of a request under it; and what can be entered beside a CSR."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from services.desk.__main__ import app
from services.desk.entering import entered
from services.desk.exits import DeskError, Exit
from shared.x509.entered import EnteredValues
from shared.x509.extensions import CertificateExtension
from shared.x509.names import Attribute, SubjectAltNames
from tests import world


class Office:
    """A folder with a policy and what belongs to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.policy = folder / "policy.toml"
        self.write(world.policy_text())
        (folder / "intermediate.pem").write_bytes(world.pem(world.shared_ca().intermediate))
        (folder / "imported.pem").write_bytes(world.pem(world._imported()))

    def write(self, text: str) -> None:
        self.policy.write_text(text)

    def file(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(text)
        return str(path)

    def run(self, command: str, *arguments: str, typed: str | None = None) -> Result:
        result = CliRunner().invoke(app, ["policy", command, str(self.policy), *arguments], input=typed)
        assert "Traceback" not in result.output
        return result


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def test_a_warning_is_shown_and_does_not_spoil_the_policy(office: Office) -> None:
    office.write(world.policy_text().replace("quorum = 2", "quorum = 2\nrequester_counts = true"))
    result = office.run("check")
    assert result.exit_code == Exit.OK
    assert "policy.requester-counts" in result.output
    assert "has no mistakes" in result.output


def test_every_mistake_is_shown_with_its_line(office: Office) -> None:
    office.write(world.policy_text().replace("quorum = 2", "quorum = 0").replace('["server"]', '["servre"]'))
    result = office.run("check")
    assert result.exit_code == Exit.REFUSED
    assert "approval_groups.web.quorum (line " in result.output
    assert "did you mean server?" in result.output


def test_a_request_that_fits_is_explained_rule_by_rule(office: Office) -> None:
    csr = office.file("good.csr", world.make_csr("www.example.com", "example.com"))
    result = office.run("explain", csr, "--as", "shop", "--on", "2026-11-20")
    assert result.exit_code == Exit.OK
    for piece in (
        "holds        certificate request and proof of possession",
        "holds        alternative names",
        "the would-be certificate, linted",
        "O\tExample Ltd\tfixed by the profile",
        "CN\twww.example.com\tfrom the CSR",
        "It would be accepted, and wait for 2 approvals by web.",
    ):
        assert piece in result.output


def test_a_request_that_does_not_fit_is_explained_with_every_reason(office: Office) -> None:
    csr = office.file("bad.csr", world.make_csr("www.elsewhere.net", "printer.local", O="Other Ltd"))
    result = office.run("explain", csr, "--as", "shop")
    assert result.exit_code == Exit.REFUSED
    for code in ("dn.value-fixed", "name.dns-outside", "name.dns-internal"):
        assert code in result.output
    assert "not reached  the would-be certificate, linted" in result.output
    assert "It would be refused." in result.output


def test_a_whole_request_can_be_explained_from_standard_input_for_a_program(office: Office) -> None:
    asked = world.content().canonical().decode()
    result = office.run("explain", "-", "--as", "shop", "--on", "2026-11-20", "--json", typed=asked)
    explanation = json.loads(result.stdout)
    assert result.exit_code == Exit.OK
    assert explanation["accepted"] is True
    assert {step["outcome"] for step in explanation["steps"]} <= {"holds", "notes"}


def test_who_may_not_ask_is_told_so_before_anything_else(office: Office) -> None:
    asked = world.content().canonical().decode()
    result = office.run("explain", "-", "--as", "olga", typed=asked)
    assert result.exit_code == Exit.REFUSED
    assert "identity.not-permitted" in result.output


def test_a_day_in_the_future_is_judged_by_its_own_calendar(office: Office) -> None:
    asked = world.content(expires_on="2027-09-01").canonical().decode()
    assert office.run("explain", "-", "--on", "2027-03-14", typed=asked).exit_code == Exit.OK
    later = office.run("explain", "-", "--on", "2027-03-15", typed=asked)
    assert later.exit_code == Exit.REFUSED
    assert "validity.too-long" in later.output


def test_choices_and_days_that_make_no_sense_are_a_wrong_command_line(office: Office) -> None:
    asked = world.content().canonical().decode()
    assert office.run("explain", "-", "--dn-profile", "server", typed=asked).exit_code == Exit.USAGE
    assert office.run("explain", "-", "--on", "9999-12-31", typed=asked).exit_code == Exit.USAGE


def test_what_is_no_request_is_said_to_be_none(office: Office) -> None:
    result = office.run("explain", office.file("x", "{}"))
    assert result.exit_code == Exit.REFUSED
    assert "submission.invalid" in result.output


def test_what_is_entered_becomes_values_of_the_request() -> None:
    assert entered(
        subject=("CN=www.example.com", "OU=A=B"),
        names=("dns:www.example.com", "dns:example.com", "uri:https://example.com/"),
        extensions=("keyUsage=digitalSignature,keyAgreement", "1.2.3.4=critical,BQA="),
    ) == EnteredValues(
        subject=(Attribute(type="CN", value="www.example.com"), Attribute(type="OU", value="A=B")),
        names=SubjectAltNames(dns=("www.example.com", "example.com"), uri=("https://example.com/",)),
        extensions=(
            CertificateExtension(type="keyUsage", values=("digitalSignature", "keyAgreement")),
            CertificateExtension(type="1.2.3.4", critical=True, values=("BQA=",)),
        ),
    )


@pytest.mark.parametrize(
    "given",
    [
        {"subject": ("CN",)},
        {"subject": ("=x",)},
        {"subject": ("nothing=x",)},
        {"names": ("www.example.com",)},
        {"names": ("host:www.example.com",)},
        {"names": ("ip:nowhere",)},
        {"extensions": ("keyUsage=",)},
        {"extensions": ("keyUsage=everything",)},
        {"extensions": ("1.2.3.4=no base64!",)},
        {"extensions": ("subjectAltName=x",)},
    ],
)
def test_what_cannot_be_entered_is_a_wrong_command_line(given: dict[str, tuple[str, ...]]) -> None:
    with pytest.raises(DeskError) as wrong:
        entered(**given)
    assert wrong.value.status is Exit.USAGE
