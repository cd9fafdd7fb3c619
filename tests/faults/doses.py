"""How much of a fault a run takes, and the figures it prints.

`make test` takes short doses, `make torture` (DOSE=long in the environment) long ones. The scenarios are the same.
"""

import os
from typing import TypeVar

T = TypeVar("T")

LONG = os.environ.get("DOSE") == "long"
FIGURES: list[str] = []
"""One line for each scenario that ran, printed at the end of the run: they are the record of it."""


def dose(short: T, long: T) -> T:
    """Choose by the dose of this run."""
    return long if LONG else short


def note(scenario: str, figures: object) -> None:
    """Keep the figures of a scenario for the end of the run."""
    FIGURES.append(f"{scenario}: {figures}")
