"""What comes from messages can neither act on a terminal nor pass for the desk's own words."""

import io
import json

import pytest

from services.desk.exits import Failure
from services.desk.files import _is_plain_text
from services.desk.render import Screen, as_json, paragraph, safe
from shared.vocabulary.findings import Finding
from shared.vocabulary.model import Model

HOSTILE = "a\x1b[31mred\x1b]0;title\x07 \x9b2J \u202eexe.cod\u2066 \r\n[bold]x[/bold] :smile: \x00\t\u2028"


class Said(Model):
    text: str


def _harmless(text: str) -> bool:
    return all(character.isprintable() or character == "\n" for character in text)


def test_control_characters_and_bidirectional_overrides_are_written_out() -> None:
    shown = safe(HOSTILE)
    assert shown.isprintable()
    assert "\\x1b[31mred" in shown
    assert "\\u202eexe.cod" in shown
    assert "[bold]x[/bold]" in shown


@pytest.mark.parametrize("character", [chr(code) for code in (*range(32), 0x7F, *range(0x80, 0xA0), 0x202E, 0x200F)])
def test_no_control_character_is_left(character: str) -> None:
    assert safe(character).isprintable()


def test_lines_of_others_are_marked_as_such() -> None:
    assert paragraph("one\nRevision: sha256:0\x0bx") == "| one\n| Revision: sha256:0\n| x"


@pytest.mark.parametrize("on_a_terminal", [False, True])
def test_nothing_hostile_gets_through_whatever_it_is_printed_as(
    on_a_terminal: bool,  # noqa: FBT001 - a test's parameter
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TTY_COMPATIBLE", "1" if on_a_terminal else "0")
    monkeypatch.setenv("TERM", "xterm")
    screen = Screen()
    screen.say(HOSTILE)
    screen.sheet(HOSTILE, [("Name", safe(HOSTILE)), ("Notes", paragraph(HOSTILE))])
    screen.listing(["name"], [[HOSTILE]], empty="none")
    finding = Finding(code="a.b", message=HOSTILE, value=HOSTILE)
    screen.failure(Failure(code="refused", message=HOSTILE, findings=(finding,)))
    seen = capsys.readouterr()
    for text in (seen.out, seen.err):
        if on_a_terminal:
            text = text.replace("\x1b[1m", "").replace("\x1b[0m", "")  # noqa: PLW2901 - bold, which NO_COLOR allows
        assert _harmless(text.replace("\t", " "))
    assert ":smile:" in seen.out


def test_a_digest_is_never_cut_off_however_narrow_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    digest = "sha256:" + "0123456789abcdef" * 4
    Screen().sheet("t", [("Revision", digest)])
    Screen().listing(["digest"], [[digest]], empty="none")
    found = "".join(character for character in capsys.readouterr().out if character in digest)
    assert found.count("0123456789abcdef" * 4) == 2


def test_json_is_one_line_of_ascii_that_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    said = Said(text=HOSTILE)
    assert as_json(said).isascii()
    assert as_json(said).isprintable()
    Screen(machine=True).result(said)
    assert json.loads(capsys.readouterr().out) == {"text": HOSTILE}


def test_programs_get_nothing_but_json_and_people_a_word_aside_only_where_they_must(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Screen(machine=True).say("unseen")
    Screen(machine=True).sheet("unseen", [])
    Screen(machine=True, aside=True).say("seen")
    seen = capsys.readouterr()
    assert (seen.out, seen.err) == ("", "seen\n")


def test_only_printable_ascii_is_fit_for_a_terminal() -> None:
    assert _is_plain_text(b"-----BEGIN CERTIFICATE-----\r\n")
    assert not any(map(_is_plain_text, (b"\x1b[2J", b"\x30\x82", "é".encode(), b"\x9b")))


def test_without_a_terminal_lists_are_lines_divided_by_tabs(capsys: pytest.CaptureFixture[str]) -> None:
    Screen().listing(["a", "b"], [["1", "x\ty"]], empty="none")
    Screen().listing(["a"], [], empty="There is nothing.")
    assert capsys.readouterr().out == "a\tb\n1\tx\\ty\nThere is nothing.\n"


def test_output_can_be_captured_whatever_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stdout", stream)
    Screen().say("here")
    assert stream.getvalue() == "here\n"
