"""What the settings say about delivery, as one value."""

from dataclasses import dataclass
from datetime import timedelta

from app.delivery.retry_policy import RetryPolicy


@dataclass(frozen=True, slots=True)
class DeliveryConfig:
    """``timeout``: of one call; ``by_site``: sites that differ in ``on_unknown``."""

    timeout: timedelta
    calls_at_once: int
    calls_per_second: int
    keep_personal_data: timedelta
    general: RetryPolicy
    by_site: dict[str, RetryPolicy]

    def policy_for(self, site: str) -> RetryPolicy:
        """Give the rules of a site, the general ones for a site the settings no longer know."""
        return self.by_site.get(site, self.general)

    def holds_unknown(self, site: str) -> bool:
        """Tell whether a person decides at this site what becomes of an unknown outcome."""
        return self.policy_for(site).on_unknown == "hold"
