"""Generic names of settings."""

from app.settings.suggestions import table_at


def generic(name: str) -> str:
    """Return `SITES__*__TEXTS` for `SITES__SHOP__TEXTS__RU__TITLE`. An unknown name is returned unchanged."""
    steps = name.lower().split("__")
    kinds = [table_at(steps[:depth]) for depth in range(len(steps))]
    # Names in a model are fixed, names in a dictionary are chosen by the operator.
    result = [
        "*" if kind is not None and not hasattr(kind, "model_fields") else step
        for step, kind in zip(steps, kinds, strict=True)
    ]
    while result[-1] == "*":
        result.pop()
    return "__".join(result).upper()
