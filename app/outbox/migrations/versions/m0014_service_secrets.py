"""Create the table of the service's own secret.

So far challenges and fingerprints of requests had a key that was derived from SECRET_KEY or from Chaser's private key.
A database in use remembers that for its challenges in flight. Its request keys match by site and phone from now on.
"""

from secrets import token_hex

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

INSTANT = sa.BigInteger().with_variant(sa.DateTime(timezone=True), "postgresql")
LEGACY = "legacy"


def upgrade() -> None:
    """Create the table, with a row only if there are callbacks: an empty database gets its secret at the first start.

    A copy needs an empty target.
    """
    op.create_table(
        "service_secrets",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("secret", sa.String(64), nullable=False),
        sa.Column("signing", sa.String(64), nullable=False),
        sa.Column("previous", sa.String(64)),
        sa.Column("changed_at", INSTANT),
    )
    insert = sa.text(
        "INSERT INTO service_secrets (id, secret, signing) SELECT 1, :secret, :signing "
        "WHERE EXISTS (SELECT 1 FROM callbacks)"
    )
    op.execute(insert.bindparams(secret=token_hex(32), signing=LEGACY))
    keys = sa.table("request_keys", *(sa.column(name) for name in ("scope", "key", "fingerprint")))
    other = keys.alias()
    is_shared = sa.exists().where(
        other.c.scope == keys.c.scope, other.c.key == keys.c.key, other.c.fingerprint != keys.c.fingerprint
    )
    # A key that came with several requests stays as it is: those can't be told apart by site and phone.
    op.execute(sa.update(keys).where(~is_shared).values(fingerprint=LEGACY))
