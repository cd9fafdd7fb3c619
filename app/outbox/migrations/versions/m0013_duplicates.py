"""Turn each alias into a callback with the status `duplicate`, and tell request keys apart by their fingerprint.

An alias is the id of a request that was merged into another visitor's callback. Its id goes on answering. Fingerprints
of earlier versions can't be compared with those of this one. So the keys stored so far match by site and phone.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

INSTANT = sa.BigInteger().with_variant(sa.DateTime(timezone=True), "postgresql")
ALIAS = "alias"
LEGACY = "legacy"
# What a merged request has in common with the callback it was merged into. The rest is another visitor's: their page,
# their consent, their message.
COPIED = (
    *("site", "account", "chaser_site_id", "client_phone", "phone_certain", "manager_phone", "planned_time"),
    *("nwt_action", "call_stack_start_hour", "call_stack_interval", "department", "give_up_at"),
    *("rings_at", "rings_until"),
)
BUCKETS = ("client_bucket", "client_bucket_56", "client_bucket_48")
ORIGINALS = sa.table("callbacks", sa.column("id"), *(sa.column(name) for name in COPIED)).alias("originals")
DUPLICATES = sa.table(
    "callbacks",
    *(sa.column(name) for name in ("id", "status", "duplicate_of", *COPIED, *BUCKETS)),
    *(sa.column(name) for name in ("client_ip", "client_network", "call_expected_at", "created_at", "updated_at")),
    *(sa.column(name) for name in ("status_sequence", "manager_given", "message_given")),
)
HISTORY = sa.table(
    "status_history",
    *(sa.column(name) for name in ("callback_id", "site", "sequence", "to_status", "actor", "created_at")),
)
KEYS = sa.table(
    "request_keys",
    *(sa.column(name) for name in ("scope", "key", "fingerprint", "callback_id", "created_at", *BUCKETS)),
    sa.column("answer", sa.JSON),
)


def upgrade() -> None:
    """Insert the duplicates, then rebuild the request keys without aliases."""
    _insert_duplicates()
    _rebuild_keys()
    op.drop_index("ix_callbacks_site_call_expected_at", "callbacks")
    op.drop_index("ix_callbacks_client_phone_created_at", "callbacks")
    op.create_index("ix_callbacks_client_phone_duplicate_of", "callbacks", ["client_phone", "duplicate_of"])


def _insert_duplicates() -> None:
    keys = KEYS.c
    # An IPv4 bucket is an address. It ends in the digits that its /24 doesn't share.
    is_ipv6 = keys.client_bucket.like("%:%")
    of_ipv4 = sa.func.rtrim(keys.client_bucket, "0123456789").op("||")("0/24")
    values = {
        "id": keys.key,
        "status": sa.literal_column("'duplicate'"),
        "duplicate_of": ORIGINALS.c.id,
        **{name: ORIGINALS.c[name] for name in COPIED},
        **{name: keys[name] for name in BUCKETS},
        "client_ip": sa.case((is_ipv6, None), else_=keys.client_bucket),
        "client_network": sa.case((is_ipv6, keys.client_bucket_48), else_=of_ipv4),
        "call_expected_at": _expected_at(),
        "created_at": keys.created_at,
        "updated_at": keys.created_at,
        "status_sequence": sa.literal_column("1"),
        "manager_given": sa.false(),
        "message_given": sa.false(),
    }
    aliases = KEYS.join(ORIGINALS, ORIGINALS.c.id == keys.callback_id)
    found = sa.select(*values.values()).select_from(aliases).where(keys.scope == ALIAS)
    op.execute(sa.insert(DUPLICATES).from_select(list(values), found))
    changes = {
        "callback_id": keys.key,
        "site": ORIGINALS.c.site,
        "sequence": sa.literal_column("1"),
        "to_status": sa.literal_column("'duplicate'"),
        "actor": sa.literal_column("'visitor'"),
        "created_at": keys.created_at,
    }
    in_order = sa.select(*changes.values()).select_from(aliases).where(keys.scope == ALIAS).order_by(keys.created_at)
    op.execute(sa.insert(HISTORY).from_select(list(changes), in_order))


def _expected_at() -> sa.ColumnElement[object]:
    """Return the time in the stored response of an alias, in ISO 8601, as the type of the column."""
    if op.get_bind().dialect.name == "postgresql":
        return sa.literal_column("CAST(request_keys.answer ->> 'call_expected_at' AS timestamptz)")
    # strftime knows no microseconds, and would round them. They are left out by isoformat() if there are none.
    told = "json_extract(request_keys.answer, '$.call_expected_at')"
    return sa.literal_column(
        f"CAST(strftime('%s', substr({told}, 1, 19) || substr({told}, -6)) AS INTEGER) * 1000000"
        f" + CASE WHEN substr({told}, 20, 1) = '.' THEN CAST(substr({told}, 21, 6) AS INTEGER) ELSE 0 END"
    )


def _rebuild_keys() -> None:
    op.drop_index("ix_request_keys_call_expected_at", "request_keys")
    for name in BUCKETS:
        op.drop_index(f"ix_request_keys_{name}_created_at", "request_keys")
    op.execute(sa.delete(KEYS).where(KEYS.c.scope == ALIAS))
    op.execute(sa.update(KEYS).values(fingerprint=LEGACY))
    with op.batch_alter_table("request_keys") as table:
        for name in (*BUCKETS, "call_expected_at"):
            table.drop_column(name)
        table.drop_constraint("pk_request_keys", type_="primary")
        table.create_primary_key("pk_request_keys", ["scope", "key", "fingerprint"])
