"""The quarantine beside each table: reads it, and mends what is in it.

reading           groups of misfits, and examples
misfit_selection  which of the messages: by reason, column and source
repair            the expression that gives a message's new text
messages          the stored messages, a chunk at a time
typed             types a chunk: which messages fit, and why the others don't
dry_run           what a replay would do
replay            replays or discards a selection, chunk by chunk
moving            what both the table and the quarantine may have meanwhile
departures        what the ledger keeps of the messages that have left
download          the messages as NDJSON
"""

from ingestion.quarantine.reading import (
    MisfitGroup,
    QuarantinedMessage,
    RefusedMessage,
    RefusedRange,
    groups,
    newest,
    within,
)

__all__ = [
    "MisfitGroup",
    "QuarantinedMessage",
    "RefusedMessage",
    "RefusedRange",
    "groups",
    "newest",
    "within",
]
