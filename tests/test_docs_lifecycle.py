"""docs/lifecycle.md shows the moves that the code allows."""

import re
from pathlib import Path

from app.outbox.callback import Status
from app.outbox.transitions import ALLOWED

PAGE = Path(__file__).parent.parent / "docs" / "lifecycle.md"


def diagram() -> str:
    """Return the diagram of the allowed moves, in Mermaid's language."""
    order = [None, *Status]
    moves = [(from_, to) for from_ in order for to in Status if to in ALLOWED[from_]]
    return "\n".join(["stateDiagram-v2", *(f"    {from_ or '[*]'} --> {to}" for from_, to in moves)])


def test_the_diagram_is_drawn_from_the_table_of_moves() -> None:
    (drawn,) = re.findall(r"```mermaid\n(.*?)\n```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert drawn == diagram()


def test_every_status_has_its_meaning() -> None:
    assert re.findall(r"^\| `(\w+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE) == list(Status)
