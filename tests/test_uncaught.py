"""Uncaught exceptions and warnings are events in the log instead of text on standard error."""

import re
import subprocess
import sys

import pytest

from tests.test_logs import PRELUDE, lines_of


@pytest.mark.parametrize(
    "code",
    [
        'raise ValueError("the number is 79161234567")',
        """
import threading
def broken():
    raise ValueError("the number is 79161234567")
thread = threading.Thread(target=broken)
thread.start()
thread.join()
""",
        """
class Broken:
    def __del__(self):
        raise ValueError("the number is 79161234567")
Broken()
""",
    ],
    ids=["of the process", "of a thread", "of a destructor"],
)
def test_an_uncaught_exception_is_an_event_without_its_text(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stderr == ""
    (line,) = lines_of(done.stdout)
    assert (line["level"], line["event"]) == ("CRITICAL", "process.uncaught_exception")
    assert re.match(r"ValueError at .*<string>:[0-9]+ ", line["exception"])
    assert "79161234567" not in done.stdout


def test_a_keyboard_interrupt_is_no_event() -> None:
    code = PRELUDE + "raise KeyboardInterrupt"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == ""


def test_a_python_warning_is_an_event() -> None:
    code = PRELUDE + 'import warnings\nwarnings.simplefilter("always")\nwarnings.warn("two\\nlines")'
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
    (line,) = lines_of(done.stdout)
    assert (line["level"], line["logger"]) == ("WARNING", "py.warnings")
    assert "two\nlines" in line["event"]
