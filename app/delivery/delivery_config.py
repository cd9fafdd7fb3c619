"""The settings of delivery, as one value."""

from dataclasses import dataclass
from datetime import timedelta

from app.delivery.retry_policy import RetryPolicy
from app.outbox.phone_callbacks import PhoneCap


@dataclass(frozen=True, slots=True)
class DeliveryConfig:
    """Configuration of the worker.

    `timeout`: of one call. `general` is for sites that have left the settings. `cap`: how often a phone may ring.
    """

    timeout: timedelta
    calls_at_once: int
    calls_per_second: int
    keep_personal_data: timedelta
    general: RetryPolicy
    by_site: dict[str, RetryPolicy]
    cap: PhoneCap

    def policy_for(self, site: str) -> RetryPolicy:
        """Return the retry policy of a site."""
        return self.by_site.get(site, self.general)

    def holds_unknown(self, site: str) -> bool:
        """Return whether callbacks of a site with an unknown outcome wait for an operator."""
        return self.policy_for(site).on_unknown == "hold"
