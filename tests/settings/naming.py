"""The generic name of a setting as somebody wrote it."""

from app.settings.suggestions import table_at


def generic(name: str) -> str:
    """Give ``SITES__*__TEXTS`` for ``SITES__SHOP__TEXTS__RU__TITLE``; a name that is no setting's stays as it is."""
    steps = name.lower().split("__")
    kinds = [table_at(steps[:depth]) for depth in range(len(steps))]
    # In a model the names are ours, in a dictionary they were chosen.
    kept = [
        "*" if kind is not None and not hasattr(kind, "model_fields") else step
        for step, kind in zip(steps, kinds, strict=True)
    ]
    while kept[-1] == "*":
        kept.pop()
    return "__".join(kept).upper()
