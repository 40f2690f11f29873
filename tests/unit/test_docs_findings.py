"""The page of findings is what the code gives, and every code can be read from the source."""

import json
from functools import cache
from pathlib import Path

import pytest

from deploy.docs.codes import OPEN, Given, UnclearCodeError, read_findings
from deploy.docs.findings import PAGE, page
from shared.vocabulary.findings import Severity


@cache
def given() -> list[Given]:
    """What the product's code gives."""
    return read_findings()


def test_the_page_is_what_the_code_gives() -> None:
    assert PAGE.read_text() == page(given()), "docs/findings.md is out of date: run `make docs`"


def test_a_code_stands_for_one_severity() -> None:
    closed = {(each.code, each.severity) for each in given() if each.code not in OPEN}
    assert {severity for _, severity in closed} <= set(Severity)
    assert len(closed) == len({each.code for each in given()} - OPEN)


def test_codes_that_tests_and_pages_know_are_found() -> None:
    vectors = Path(__file__).parent.parent / "vectors" / "x509"
    expected = set(json.loads((vectors / "expected.json").read_text()).values()) - {None}
    assert expected | {"request.unknown-dn-profile", "key.biased", "evidence.submission-differs"} <= {
        each.code for each in given()
    }


def written(tmp_path: Path, **files: str) -> list[Given]:
    """What a program of these files gives."""
    for name, text in files.items():
        path = tmp_path / "shared" / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return read_findings(tmp_path, ["shared"])


WAYS = {
    "at the call": 'def f(n):\n    return finding("a.b", f"at most {n}", severity=Severity.NOTE)\n',
    "by a constant": 'CODE = "a.b"\ndef f():\n    return finding(CODE, "at most …", severity=Severity.NOTE)\n',
    "by a caller": (
        "def g(code, text, severity=Severity.NOTE):\n    return finding(code, text, severity=severity)\n"
        'def f(n):\n    return g("a.b", f"at most {n}")\n'
    ),
    "in a loop": (
        "def f(n):\n"
        '    return [finding(code, text, severity=Severity.NOTE) for code, text in (("a.b", f"at most {n}"),)]\n'
    ),
    "by looking it up": (
        'KNOWN = {"x": ("a.b", Severity.NOTE)}\n'
        "def f(x, n):\n    code, degree = KNOWN[x]\n    return finding(code, f'at most {n}', severity=degree)\n"
    ),
    "by a field": (
        "class Kind:\n    word: str\n    text: str\n\n"
        "def g(kind: Kind):\n    return finding(f'{kind.word}.b', kind.text, severity=Severity.NOTE)\n"
        "def f(n):\n    return g(Kind('a', text=f'at most {n}'))\n"
    ),
}


@pytest.mark.parametrize("source", WAYS.values(), ids=WAYS)
def test_a_code_is_followed_to_where_it_is_written(source: str, tmp_path: Path) -> None:
    assert written(tmp_path, rules=source) == [Given("a.b", "note", "at most …", "shared/rules")]


def test_what_belongs_together_is_told_together(tmp_path: Path) -> None:
    source = (
        "class Kind:\n    word: str\n    noun: str\n\n"
        "def g(kind: Kind):\n    return h(f'{kind.word}.b', f'this is no {kind.noun}')\n"
        "def h(code, text):\n    return finding(code, text)\n"
    )
    found = written(tmp_path, rules=source, others="ALL = (Kind('a', 'apple'), Kind('p', 'pear'))\n")
    assert [(each.code, each.sentence) for each in found] == [("a.b", "this is no apple"), ("p.b", "this is no pear")]


def test_a_code_that_cannot_be_followed_is_an_error_that_says_where(tmp_path: Path) -> None:
    with pytest.raises(UnclearCodeError, match=r"shared/rules\.py:2: the code f'a\.\{n\}'"):
        written(tmp_path, rules='def f(n):\n    return finding(f"a.{n}", "no")\n')


def test_another_findings_code_is_counted_where_that_one_is_made(tmp_path: Path) -> None:
    source = 'def f(error):\n    return [finding(each.code, "there: " + each.message) for each in error.findings]\n'
    assert written(tmp_path, rules=source) == []
