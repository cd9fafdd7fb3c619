"""What the settings say about delivery, as one value."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from app.delivery.policy import Rules
from app.outbox.delivering import Claim


@dataclass(frozen=True, slots=True)
class DeliveryRules:
    """``timeout``: of one call; ``by_site``: sites that differ in ``on_unknown``."""

    timeout: timedelta
    calls_at_once: int
    calls_per_second: int
    keep_personal_data: timedelta
    give_up_after: timedelta
    general: Rules
    by_site: dict[str, Rules]

    def of(self, site: str) -> Rules:
        """Give the rules of a site, the general ones for a site the settings no longer know."""
        return self.by_site.get(site, self.general)

    def ready_at(self, claim: Claim) -> datetime:
        """Give since when a callback could be sent: its acceptance, or a person's release or retry of one not planned.

        What is not planned is given up so long after that moment.
        """
        planned = claim.parameters["planned_time"] is not None
        return claim.created_at if planned else claim.give_up_at - self.give_up_after

    def holds(self, site: str) -> bool:
        """Tell whether a person decides at this site what becomes of an unknown outcome."""
        return self.of(site).on_unknown == "hold"
