"""The parts of `make torture` are complete: each file of the fault and attack tests is in exactly one."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.torture import PARTS, main

ROOT = Path(__file__).parent.parent
FILES = sorted(
    str(path.relative_to(ROOT)) for folder in ("faults", "abuse") for path in ROOT.glob(f"tests/{folder}/test_*.py")
)


@pytest.mark.parametrize("file", FILES)
def test_each_file_of_fault_or_attack_tests_is_in_one_part(file: str) -> None:
    counted = Counter(each for files in PARTS.values() for each in files)
    assert counted[file] == 1, "tests/torture.py: add it to one of PARTS"


def test_each_file_with_a_dose_is_in_a_part() -> None:
    dosed = {
        str(path.relative_to(ROOT))
        for path in ROOT.glob("tests/**/test_*.py")
        if "dose(" in path.read_text(encoding="utf-8") and path != Path(__file__)
    }
    assert dosed <= {file for files in PARTS.values() for file in files}


@pytest.mark.parametrize("file", sorted({file for files in PARTS.values() for file in files}))
def test_each_file_of_a_part_exists(file: str) -> None:
    assert (ROOT / file).is_file()


def test_an_unknown_part_is_refused_with_the_names_of_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kills", "kittens"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("No part kittens. ")
    assert all(part in error for part in PARTS)


def test_a_part_runs_with_long_doses() -> None:
    """Only collects the tests: in a short dose a replica is stopped while it accepts, in a long one also later."""
    code = "import sys; from tests.torture import main; sys.exit(main(['replicas']))"
    environment = {"PYTEST_ADDOPTS": "--collect-only -q"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tests/faults/test_stopped_replica.py::" in done.stdout
    assert "for_long[record]" in done.stdout
