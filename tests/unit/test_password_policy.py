import pytest

from shared.password_policy import PasswordRules, check_password

GOOD = "gravel-Pilot7-umbra-tofu"


def codes(password: str, rules: PasswordRules | None = None, words: tuple[str, ...] = ()) -> list[str]:
    return [found.code for found in check_password(password, rules or PasswordRules(), words=words)]


@pytest.mark.parametrize("password", [GOOD, "gravel pilot umbra tofu", "8fKq2-vRtY9-mWx4", GOOD * 5])
def test_a_good_password_is_taken(password: str) -> None:
    assert codes(password) == []


@pytest.mark.parametrize(
    ("password", "expected"),
    [
        ("", ["password.too-short", "password.too-weak"]),
        ("zK8!fq", ["password.too-short", "password.too-weak"]),
        ("8fKq2-vRtY9", ["password.too-short"]),
        ("password1234", ["password.too-weak"]),
        ("aaaaaaaaaaaaaaaaaaaaaaaa", ["password.too-weak"]),
        ("abc" * 42, ["password.too-weak"]),
        ("x" * 10_000, ["password.too-long"]),
        ("Grünkohl-über-Zäune-7", ["password.characters"]),
        (GOOD + "\n", ["password.characters"]),
        (GOOD + "\u200b", ["password.characters"]),
        (GOOD + "\N{GRINNING FACE}", ["password.characters"]),
        (GOOD + "\ud800", ["password.characters"]),
    ],
)
def test_a_bad_password_is_refused(password: str, expected: list[str]) -> None:
    assert codes(password) == expected


def test_what_the_request_says_is_easy_to_guess() -> None:
    words = ("tofuvant.example.com", "Pilgravel & Sons")
    assert codes("tofuvantpilgravel") == []
    assert codes("tofuvantpilgravel", words=words) == ["password.too-weak"]


def test_the_rules_can_be_stricter_and_milder() -> None:
    assert codes(GOOD, PasswordRules(min_length=40)) == ["password.too-short"]
    assert codes("password1234", PasswordRules(min_score=0)) == []


@pytest.mark.parametrize("password", ["password1234", "hunter2", "sunshine\n123"])
def test_no_finding_tells_any_of_the_password(password: str) -> None:
    for found in check_password(password, PasswordRules()):
        assert found.value is None
        assert password.split("\n", maxsplit=1)[0] not in found.message
