"""What the routes work with: made once by main.py and kept in the application's state."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Protocol

from fastapi import Depends, Request

from app.edge.origins import Origins
from app.outbox.accepting import AcceptRules
from app.outbox.outbox import Outbox
from app.settings import Settings


class Delivery(Protocol):
    """What health needs to know of the delivery."""

    @property
    def running(self) -> bool:
        """Tell whether the worker is alive."""

    @property
    def paused_accounts(self) -> tuple[str, ...]:
        """Give the accounts that Chaser refuses."""


@dataclass(frozen=True, slots=True)
class Services:
    """``origins`` and ``rules`` by site; ``secret`` signs what is ours; ``clock`` gives the time in UTC."""

    settings: Settings
    outbox: Outbox
    delivery: Delivery
    origins: dict[str, Origins]
    rules: dict[str, AcceptRules]
    secret: bytes
    clock: Callable[[], datetime]


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Given = Annotated[Services, Depends(_services)]
