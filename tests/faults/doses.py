"""Short and long doses of the fault tests, and the figures that a run prints.

`make test` runs short doses, `make torture` (DOSE=long in the environment) long ones of the same scenarios.
"""

import os
from typing import TypeVar

T = TypeVar("T")

LONG = os.environ.get("DOSE") == "long"
FIGURES: list[str] = []
"""One line for each scenario, printed at the end of the run."""


def dose(short: T, long: T) -> T:
    """Return the value for the dose of this run."""
    return long if LONG else short


def note(scenario: str, figures: object) -> None:
    """Record the figures of a scenario, to be printed at the end of the run."""
    FIGURES.append(f"{scenario}: {figures}")
