"""The parts of `make torture` are the whole: no file of faults or attacks is left out, and none runs twice."""

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
def test_a_file_of_faults_or_attacks_is_in_one_part(file: str) -> None:
    counted = Counter(each for files in PARTS.values() for each in files)
    assert counted[file] == 1, "tests/torture.py: add it to one of PARTS"


def test_a_file_that_takes_a_dose_is_in_a_part() -> None:
    dosed = {
        str(path.relative_to(ROOT))
        for path in ROOT.glob("tests/**/test_*.py")
        if "dose(" in path.read_text(encoding="utf-8") and path != Path(__file__)
    }
    assert dosed <= {file for files in PARTS.values() for file in files}


@pytest.mark.parametrize("file", sorted({file for files in PARTS.values() for file in files}))
def test_a_part_names_files_that_exist(file: str) -> None:
    assert (ROOT / file).is_file()


def test_a_part_that_does_not_exist_is_refused_with_the_names_of_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kills", "kittens"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("No part kittens. ")
    assert all(part in told for part in PARTS)


def test_a_part_takes_long_doses() -> None:
    """Only collect its tests: a short dose stops a replica while it accepts, a long one also while it records."""
    code = "import sys; from tests.torture import main; sys.exit(main(['replicas']))"
    environment = {"PYTEST_ADDOPTS": "--collect-only -q"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tests/faults/test_stopped_replica.py::" in done.stdout
    assert "for_long[record]" in done.stdout
