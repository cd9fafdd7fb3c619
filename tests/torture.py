"""The parts of `make torture`: long doses of the fault and attack tests, at most 40 minutes each on two cores.

python -m tests.torture kills    # one part
python -m tests.torture          # all parts, one after another: two hours
"""

import os
import subprocess
import sys

PARTS: dict[str, tuple[str, ...]] = {
    "kills": (
        "tests/faults/test_kills.py",
        "tests/faults/test_crashes.py",
        "tests/faults/test_lost_process.py",
        "tests/faults/test_shutdown.py",
    ),
    "database": (
        "tests/faults/test_database_restarts.py",
        "tests/faults/test_frozen_database.py",
        "tests/faults/test_full_disk.py",
        "tests/faults/test_lost_commit.py",
    ),
    "moving": ("tests/faults/test_moving.py",),
    "replicas": (
        "tests/faults/test_crowds.py",
        "tests/faults/test_restarts.py",
        "tests/faults/test_rolling.py",
        "tests/faults/test_stopped_replica.py",
    ),
    "chaser": (
        "tests/faults/test_account_refused.py",
        "tests/faults/test_chaser_faults.py",
    ),
    "sequences": (
        "tests/faults/test_clock.py",
        "tests/faults/test_oracle.py",
        "tests/faults/test_outbox_machine.py",
    ),
    "histories": (
        "tests/admission/test_property_batches.py",
        "tests/admission/test_property_caps.py",
        "tests/admission/test_property_held.py",
        "tests/admission/test_property_indistinguishable.py",
        "tests/admission/test_property_promises.py",
        "tests/admission/test_property_room.py",
    ),
    "bodies": (
        "tests/abuse/test_hostile_bodies.py",
        "tests/abuse/test_schema.py",
    ),
    "floods": (
        "tests/abuse/test_addresses.py",
        "tests/abuse/test_floods.py",
        "tests/abuse/test_memory.py",
    ),
    "attackers": (
        "tests/abuse/test_attackers.py",
        "tests/abuse/test_leaks.py",
        "tests/browser/test_challenge.py",
    ),
}
"""The files of each part. Split a part before it takes 40 minutes."""


def main(parts: list[str]) -> int:
    """Run these parts, all if the list is empty, and return pytest's exit code; 2 for an unknown part."""
    if unknown := [part for part in parts if part not in PARTS]:
        sys.stderr.write(f"No part {', '.join(unknown)}. Choose one of: {', '.join(PARTS)}.\n")
        return 2
    files = [file for part in parts or PARTS for file in PARTS[part]]
    command = [sys.executable, "-m", "pytest", "--durations=20", *files]
    return subprocess.run(command, env=os.environ | {"DOSE": "long"}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
