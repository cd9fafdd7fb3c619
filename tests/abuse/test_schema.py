"""The OpenAPI document is correct: Schemathesis sends valid and invalid requests and runs all its checks."""

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
# A schema cannot distinguish a phone number from any ten digits or a past time from a future one, nor relate two
# fields. So a request that is valid by the schema may be refused with 4xx, but never with 5xx.
CHECKS = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "400", "401", "403", "404", "409", "422", "429"]
"""
SENDERS = {
    "with a key": f'[auth.openapi.key]\nbearer = "{API_KEY}"',
    "as a page": f'headers = {{ Origin = "{ORIGIN}" }}',
}


@pytest.mark.parametrize("sender", SENDERS)
def test_the_service_conforms_to_its_openapi_document(tmp_path: Path, sender: str) -> None:
    (tmp_path / "schemathesis.toml").write_text(SENDERS[sender] + CHECKS, encoding="utf-8")
    with chaser() as far_side, process(tmp_path, wide(tmp_path, far_side.api_url)) as here:
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{here.url}/openapi.json", "--no-color"]
        command += ["--checks", "all", "--max-examples", str(EXAMPLES)]
        completed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        paths = here.http.get("/openapi.json").json()["paths"]
        called = bool(far_side.calls())
    assert completed.returncode == 0, completed.stdout + completed.stderr
    assert called or sender == "as a page", "no request with the key was accepted: " + completed.stdout
    (tested,) = re.findall(r"Tested: (\d+)", completed.stdout)
    assert int(tested) == sum(len(operations) for operations in paths.values())
    (cases,) = re.findall(r"(\d+) generated", completed.stdout)
    assert int(cases) > 10 * int(tested)
    note(f"schema, {sender}", f"{cases} requests to {tested} operations, all checks passed")


def wide(folder: Path, chaser_url: str) -> dict[str, Any]:
    return values(folder, chaser_url, limits={"flood": "1000000/minute"})
