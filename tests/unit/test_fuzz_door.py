"""What `make fuzz` says, with a stand-in for the process in which the fuzzer works."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fuzz import __main__ as door
from fuzz import seeds

ENGINE = """\
#!/bin/sh
for option; do
    case "$option" in -artifact_prefix=*) prefix="${option#*=}" ;; esac
done
if [ "$3" = csr ]; then
    echo "INFO: of no interest"
    echo "KeyError: here is why"
    echo input > "${prefix}crash-1"
    exit 77
fi
echo "#120	DONE   cov: 34 ft: 56 corp: 7/89b lim: 8192 exec/s: 12 rss: 34Mb"
"""
Run = Callable[..., int]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The door with these arguments; gives its exit status."""
    engine = tmp_path / "python"
    engine.write_text(ENGINE)
    engine.chmod(0o755)
    for name, place in (("ROOT", tmp_path), ("CORPUS", tmp_path / "corpus"), ("CRASHES", tmp_path / "crashes")):
        monkeypatch.setattr(door, name, place)
    monkeypatch.setattr(sys, "executable", str(engine))

    def main(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["fuzz", *arguments])
        return door.main()

    return main


def test_the_time_is_shared_by_the_targets_and_each_says_what_it_tried(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("run", "--seconds", "60", "key", "message") == 0
    said = capsys.readouterr().out
    assert "each for 30 seconds" in said
    assert "key: 120 inputs tried, 34 branches seen, 7 inputs kept; nothing broke" in said


def test_what_breaks_a_target_is_kept_and_told_with_the_way_to_repeat_it_and_the_others_go_on(
    run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run("run", "csr", "key") == 1
    said = capsys.readouterr().out
    assert "KeyError: here is why" in said
    assert "of no interest" not in said
    assert "python -m fuzz try csr crashes/csr-crash-1" in said
    assert (tmp_path / "crashes" / "csr-crash-1").exists()
    assert "key: 120 inputs" in said


def test_a_kept_input_is_tried_again_without_the_fuzzer(
    run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    kept.write_bytes(next(seeds.keys()))
    assert run("try", "key", str(kept)) == 0
    assert "Nothing broke." in capsys.readouterr().out


def test_an_unknown_target_is_named(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("run", "kea")
    assert "there is no target kea" in capsys.readouterr().err
