"""The OpenAPI document holds: Schemathesis makes requests of it, right and wrong ones, and runs all of its checks."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults.doses import LONG, dose, note
from tests.running import API_KEY, ORIGIN, chaser, process, values

pytestmark = pytest.mark.timeout(1800 if LONG else 300)

EXAMPLES = dose(10, 400)
# A schema can't tell a telephone number from ten digits, a past time from a future one, or that two fields must agree.
# What is right by the schema may therefore be refused, though never with a fault of ours.
CHECKS = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "400", "401", "403", "404", "409", "422", "429"]
"""
SENDERS = {
    "with a key": f'[auth.openapi.key]\nbearer = "{API_KEY}"',
    "as a page": f'headers = {{ Origin = "{ORIGIN}" }}',
}


@pytest.mark.parametrize("sender", SENDERS)
def test_the_service_does_what_its_document_says(tmp_path: Path, sender: str) -> None:
    (tmp_path / "schemathesis.toml").write_text(SENDERS[sender] + CHECKS, encoding="utf-8")
    with chaser() as far_side, process(tmp_path, wide(tmp_path, far_side.api_url)) as here:
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{here.url}/openapi.json", "--no-color"]
        command += ["--checks", "all", "--max-examples", str(EXAMPLES)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        paths = here.http.get("/openapi.json").json()["paths"]
        rung = bool(far_side.calls())
    assert done.returncode == 0, done.stdout + done.stderr
    assert rung or sender == "as a page", "with its key it never got past the door: " + done.stdout
    (tested,) = re.findall(r"Tested: (\d+)", done.stdout)
    assert int(tested) == sum(len(operations) for operations in paths.values())
    (cases,) = re.findall(r"(\d+) generated", done.stdout)
    assert int(cases) > 10 * int(tested)
    note(f"schema, {sender}", f"{cases} requests to {tested} operations, all checks passed")


def wide(folder: Path, chaser_url: str) -> dict[str, Any]:
    return values(folder, chaser_url, limits={"flood": "1000000/minute"})
