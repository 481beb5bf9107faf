"""Adoption: making a ledger that was restored from a dump this server's own.

A dump carries the transaction ids of the server that it was taken from. On another server they mean nothing: what the
relay compares with them could be passed over for good. So every row is given the oldest id there is, everything is sent
once more, and the relay verifies the ledger before anything is appended.
"""

from typing import Final

from govkernel.postgres import Connection

LONGEST_STATEMENT_S: Final = 3600.0

KEEP_APPENDS_OUT: Final = "LOCK TABLE events IN SHARE ROW EXCLUSIVE MODE"

# 3 is the first transaction id that PostgreSQL gives: every snapshot has it behind itself.
OWN_ROWS: Final = "UPDATE events SET txid = '3' WHERE txid <> '3'"

OWN_CHECKPOINT: Final = """
UPDATE relay_checkpoint
SET epoch = epoch + 1, holder = NULL, lease_until = NULL, low_txid = '3', tail_seq = '{}', tail_txid = '{}',
    system_identifier = NULL, started_at = NULL, events_file = NULL, alarm = NULL, trouble = NULL"""


async def adopt(connection: Connection) -> int:
    """Adopt the ledger, by its owning role, in one transaction; how many rows had another transaction's id.

    To do it again changes nothing that matters: everything is sent once more, and readers drop what they have. What had
    been acknowledged stays known, so that the relay reads from there what the dump lacks.
    """
    async with connection.transaction():
        await connection.execute(KEEP_APPENDS_OUT, timeout=LONGEST_STATEMENT_S)
        changed = await connection.execute(OWN_ROWS, timeout=LONGEST_STATEMENT_S)
        await connection.execute(OWN_CHECKPOINT)
    return int(changed.rpartition(" ")[2])
