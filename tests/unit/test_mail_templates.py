"""The templates of mails: those of the product, and those that an operator puts in their place."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.desk.__main__ import app
from services.intake.mail.model import News
from services.intake.mail.templates import NAMES, PACKAGED, Templates, samples
from shared.errors import RefusedError


def refusals(folder: Path) -> list[str]:
    with pytest.raises(RefusedError) as refused:
        Templates(folder)
    assert {found.code for found in refused.value.findings} == {"config.mail-templates"}
    return [found.message for found in refused.value.findings]


def test_there_is_a_template_for_each_of_the_news_and_no_other() -> None:
    assert {path.name for path in PACKAGED.iterdir()} == NAMES


@pytest.mark.parametrize("news", list(News))
def test_each_of_the_news_has_a_subject_and_words_of_its_own(news: News) -> None:
    templates = Templates()
    for content in samples(news):
        written = templates.write(content)
        assert content["request"]["name"] in written.subject
        assert content["request"]["id"] in written.text
        assert content["request"]["id"] in written.html
        assert "{" not in written.subject + written.text
        others = [templates.write(samples(other)[0]).subject for other in News if other is not news]
        assert templates.write(samples(news)[0]).subject not in others


@pytest.mark.parametrize("news", list(News))
def test_what_a_mail_has_somebody_type_is_a_command_of_ra(news: News) -> None:
    written = Templates().write(samples(news)[0])
    for line in re.findall(r"^ra (.+)$", written.text, re.MULTILINE):
        told = CliRunner().invoke(app, [*line.split()[:-1], "--help"])
        assert told.exit_code == 0, line


def test_a_refusal_says_every_reason_and_an_edit_what_was_changed() -> None:
    templates = Templates()
    refused = templates.write(samples(News.REFUSED)[0])
    edited = templates.write(samples(News.EDITED)[0])
    for text in (refused.text, refused.html):
        assert "DNS names must end in one of: example.com" in text
        assert "name.dns-outside" in text
    for text in (edited.text, edited.html):
        assert "For the new front door." in text


def test_html_is_escaped_and_text_is_not() -> None:
    content = samples(News.ISSUED)[0]
    written = Templates().write({**content, "request": {**content["request"], "name": "<b>R&D</b>"}})
    assert "<b>R&D</b>" in written.text
    assert "<b>R&D</b>" not in written.html
    assert "&lt;b&gt;R&amp;D&lt;/b&gt;" in written.html


def test_an_operators_template_takes_the_place_of_the_one_of_its_name_alone(tmp_path: Path) -> None:
    (tmp_path / "issued.txt").write_text("Fertig: {{ request.name }}\n\n{% include '_greeting.txt' %}\n")
    (tmp_path / "_greeting.txt").write_text("Guten Tag, {{ request.requesters | first }}!")
    templates = Templates(tmp_path)
    issued, denied = templates.write(samples(News.ISSUED)[0]), templates.write(samples(News.DENIED)[0])
    assert issued.subject == "Fertig: The shop's front door"
    assert "Guten Tag, portal!" in issued.text
    assert "Guten Tag, portal!" in issued.html
    assert denied == Templates().write(samples(News.DENIED)[0])


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("issued.txt", "Done\n\n{{ request.nmae }}", "issued.txt, line 3"),
        ("issued.txt", "Done\n{% if %}", "issued.txt, line 2"),
        ("denied.txt", "{{ no_such_thing }}", "'no_such_thing' is undefined"),
        ("mail.html", "{{ words | no_such_filter }}", "no_such_filter"),
        ("mail.txt", "{% include 'elsewhere.txt' %}", "elsewhere.txt"),
        ("mail.txt", "{{ ''.__class__.__mro__ }}", "unsafe"),
        ("mail.txt", "{{ request.pop('name') }}", "pop"),
        ("isued.txt", "Done", "isued.txt takes the place of no template"),
        ("issued.txt", "Done\n\n{% for finding in findings %}{{ 1 / more_findings }}{% endfor %}", ""),
    ],
)
def test_a_mistake_in_an_operators_template_is_told_at_the_start_with_its_place(
    name: str, text: str, says: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    if not says:
        Templates(tmp_path)  # it would fail for what nobody tried: then that one mail is tried again
        return
    (told,) = refusals(tmp_path)
    assert told.startswith("mail.templates: ")
    assert says in told


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "issued.txt").write_text("{{ a }}")
    (tmp_path / "denied.txt").write_text("{{ b }}")
    assert len(refusals(tmp_path)) == 2


def test_a_folder_that_is_not_there_is_told_at_the_start(tmp_path: Path) -> None:
    assert refusals(tmp_path / "none") == [f"mail.templates: {tmp_path / 'none'}: No such file or directory"]


def test_a_template_that_is_no_text_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "issued.txt").write_bytes(b"\xff\xfe")
    assert "issued" in refusals(tmp_path)[0]
