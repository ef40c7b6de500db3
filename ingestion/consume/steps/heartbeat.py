"""Step: renews leases, keeps broker links alive, and gives up sources that it may not read on."""

from __future__ import annotations

import logging

from ingestion.consume.state import SliceState
from ingestion.leases import lease, rebalance, yielding

log = logging.getLogger(__name__)


def run(state: SliceState, now: float) -> None:
    """Renew leases; stop readers whose source is paused, changed, leased to another or wanted."""
    if now < state.heartbeat_at:
        return
    state.heartbeat_began_at = now
    kept = lease.renew(state.owner, [buffer.lease.partition_id for buffer in state.buffers()])
    changed = yielding.changed([reader.source for reader in state.readers])
    changed |= rebalance.give_way(state.owner)
    for reader in list(state.readers):
        state.guarded(reader, reader.stream.keep_alive)
    gone = [
        reader
        for reader in state.readers
        if reader.source.pk in changed or not kept.issuperset(reader.partition_ids())
    ]
    for reader in gone:
        log.info(
            "Source %s: it was paused or changed, or another worker has or wants its lease.",
            reader.source,
        )
    state.leave_all(gone, None)
    state.is_settle_due = True
    state.schedule_heartbeat()
