"""A delivery configuration as the settings would produce it."""

from datetime import timedelta

from app.delivery.delivery_config import DeliveryConfig
from app.delivery.retry_policy import RetryPolicy
from tests.outbox.factories import CAP

CONFIG = DeliveryConfig(
    timeout=timedelta(seconds=60),
    calls_at_once=16,
    calls_per_second=1000,
    keep_personal_data=timedelta(days=90),
    general=RetryPolicy((timedelta(seconds=5),), "resend_once"),
    by_site={},
    cap=CAP,
)
