"""What comes from messages can neither act on a terminal nor pass for the desk's own words."""

import io
import json

import pytest

from services.desk.exits import Failure
from services.desk.files import _is_plain_text
from services.desk.render import Screen, as_json, paragraph, safe
from services.desk.wrapping import CONTINUED
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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("one two", "one two"),
        ("one  two", "one··two"),
        (" a ", "·a·"),
        ("   ", "···"),
        ("a\tb\xa0c\u200bd\u2028e", "a\\tb\\xa0c\\u200bd\\u2028e"),
        ("a\u3164\u2800\ufe0fb", "a\\u3164\\u2800\\ufe0fb"),
    ],
)
def test_blanks_that_could_lay_out_something_are_seen(text: str, shown: str) -> None:
    assert safe(text) == shown == safe(safe(text))
    assert paragraph(text) == f"| {shown}" or "\u2028" in text


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("blank", list(" \t\xa0\u3000\u2003\u200b\u3164\u2800"))
def test_a_wrapped_text_of_others_never_begins_a_line_like_one_of_ours(
    blank: str, width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    screen = Screen()
    for count in range(width + 2):
        text = f"fine{blank * count}Forged: of ours"
        screen.say(f"It says: {text}")
        screen.sheet("t", [("Name", safe(text)), ("Notes", paragraph(text))])
        screen.listing(["name"], [[text]], empty="none")
        screen.failure(Failure(code="refused", message=text))
    seen = capsys.readouterr()
    lines = (seen.out + seen.err).replace("\x1b[1m", "").replace("\x1b[0m", "").splitlines()
    for line in lines:
        before, found, _ = line.partition("Forged")
        assert not found or "fine" in before or before.strip().startswith(CONTINUED.strip()), line
    assert any(CONTINUED in line for line in lines)


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
