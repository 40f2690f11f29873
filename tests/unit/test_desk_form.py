"""What is changed in the form of an edit, and nothing else, becomes the edit."""

from dataclasses import replace

import pytest

from services.desk.exits import DeskError
from services.desk.tui.form import edited, form_of
from shared.client.case import ShownCase, read_case
from shared.contracts.replies import CaseResult
from shared.vocabulary.states import State
from tests import world

HOSTILE = "a\x1b[2J\u202eb"


def _shown(**content: object) -> ShownCase:
    begun = world.accepted(world.content(**content))  # type: ignore[arg-type]  # fields of a request
    case = CaseResult(
        request_id=begun.revision.request_id,
        state=State.PENDING,
        revision=begun.evidence.revisions[-1],
        decisions=(),
        quorum=2,
    )
    return read_case(case, None, now=world.NOW)


def test_the_form_shows_what_there_is_in_the_spelling_of_the_command_line() -> None:
    form = form_of(_shown(name="n", emails=("a@b.example", "c@d.example"), notes="one\ntwo", expires_on="2027-01-31"))
    assert (form.name, form.last_day, form.notes, form.profile) == ("n", "2027-01-31", "one\ntwo", "tls-server")
    assert form.emails == "a@b.example\nc@d.example"
    assert form.names == "dns:www.example.com"
    assert "keyUsage=critical,digitalSignature" in form.extensions.splitlines()
    assert form.dn == "O=Example Ltd\nCN=www.example.com"


def test_what_acts_on_a_terminal_is_written_out_in_the_form_and_stays_as_it_is_unless_it_is_changed() -> None:
    shown = _shown(notes=HOSTILE)
    form = form_of(shown)
    assert form.notes == "a\\x1b[2J\\u202eb"
    assert edited(shown, replace(form, name="other")).notes == HOSTILE


def test_only_what_was_changed_is_said_anew() -> None:
    shown = _shown()
    form = form_of(shown)
    content = edited(shown, replace(form, dn="O=Example Ltd\nCN=shop.example.com\nOU=Sales\nOU=Web"))
    assert [str(each) for each in content.entered.subject] == ["CN=shop.example.com", "OU=Sales", "OU=Web"]
    assert content.entered.extensions == ()
    assert not content.entered.names.as_set()
    assert content.model_copy(update={"entered": shown.editable.entered}) == shown.editable


def test_what_is_taken_away_is_left_out() -> None:
    shown = _shown(emails=("a@b.example",))
    form = form_of(shown)
    content = edited(shown, replace(form, dn="CN=www.example.com", names=" ", extensions="", emails=""))
    assert content.entered.without_attributes == ("O",)
    assert set(content.entered.without_extensions) == {
        "subjectAltName",
        "keyUsage",
        "extendedKeyUsage",
        "basicConstraints",
    }
    assert content.emails == ()


def test_names_take_the_place_of_all_those_before() -> None:
    shown = _shown()
    content = edited(shown, replace(form_of(shown), names="dns:a.example.com\n\n dns:b.example.com "))
    assert content.entered.names.dns == ("a.example.com", "b.example.com")


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("last_day", "tomorrow"),
        ("emails", "nobody"),
        ("names", "www.example.com"),
        ("dn", "Example"),
        ("extensions", "nonsense=1"),
        ("name", ""),
    ],
)
def test_what_has_another_form_is_a_mistake_that_is_told(field: str, text: str) -> None:
    shown = _shown()
    with pytest.raises(DeskError):
        edited(shown, replace(form_of(shown), **{field: text}))


def test_a_form_that_was_left_alone_is_no_edit() -> None:
    shown = _shown()
    with pytest.raises(DeskError, match="nothing is changed"):
        edited(shown, form_of(shown))
