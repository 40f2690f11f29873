"""What a process says of itself in its log."""

import json
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import logging, threading
import structlog
from shared.observability.logs import configure_logs

configure_logs("intake")
structlog.get_logger().info("ours")
structlog.get_logger().info("of another duty", duty="issuer")
logging.getLogger("library").warning("theirs")
for say in (structlog.get_logger().info, logging.getLogger("library").warning):
    thread = threading.Thread(target=say, args=["in a thread"])
    thread.start()
    thread.join()
"""


def test_every_line_names_the_duty_whoever_says_it_and_in_whatever_thread() -> None:
    said = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    lines = [json.loads(line) for line in said.stderr.splitlines()]
    assert [(line["event"], line["duty"]) for line in lines] == [
        ("ours", "intake"),
        ("of another duty", "issuer"),
        ("theirs", "intake"),
        ("in a thread", "intake"),
        ("in a thread", "intake"),
    ]
