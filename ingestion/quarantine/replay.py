"""Replays or discards a selection, chunk by chunk, under the table's lock.

1. Read the next messages, and type those that are replayed.
2. Write the chunk, with the key of each message that will leave: the intent.
3. Insert the rows that the table lacks, under the messages' own origin and time. Of a message
   that its source's filter leaves out, the origin goes to the table of filtered messages.
4. Count what the table has now, in one transaction with the run's progress.
5. Delete exactly that from the quarantine, then close the chunk.

A worker killed anywhere is followed by one that goes on with the open chunk. A message is in the
table before it leaves the quarantine, and what is deleted was counted before.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from ingestion.ddl import names
from ingestion.ddl.spec import ColumnSpec
from ingestion.errors import Shortfall
from ingestion.landing import addresses, direct_insert
from ingestion.landing.addresses import Address
from ingestion.landing.query_ids import await_inserts
from ingestion.landing.reinsert import is_remembered
from ingestion.models import (
    QuarantineAction,
    QuarantineChunk,
    QuarantineRun,
    RunState,
    Table,
)
from ingestion.models.run import GOES_ON
from ingestion.provision import held
from ingestion.quarantine import departures, messages
from ingestion.quarantine.messages import Key, Messages
from ingestion.quarantine.misfit_selection import selection_of
from ingestion.quarantine.typed import Typed, typed
from tenants.lifecycle.mutation import delete_rows
from tenants.models import TenantStatus

#: How long nobody must have worked on a run until the reconciler queues it again: shorter, and
#: each of its ticks would add one more task that goes on with the same run.
QUIET = timedelta(seconds=30)


def due() -> list[int]:
    """Keys of the runs that a worker should go on with, and none does, the oldest first."""
    rows = QuarantineRun.across_tenants.exclude(table__tenant__status=TenantStatus.DELETING)
    unfinished = Q(state__in=GOES_ON) | Q(chunks__isnull=False, chunks__done_at=None)
    quiet = rows.filter(unfinished, worked_at__lt=timezone.now() - QUIET)
    return list(quiet.order_by("pk").values_list("pk", flat=True).distinct())


def step(pk: int) -> bool:
    """Do one chunk of a run; returns whether to go on at once.

    A change of the table that waits to be applied goes first. So does an open chunk of the table,
    whichever run it belongs to. Raises TableBusy if another process works on the table,
    RepairFailed, Shortfall and WarehouseError; the next step goes on from there.
    """
    run = _read(pk)
    with held(run.table, patience=0):
        run = _read(pk)
        if run.table.applied != run.table.generation and not run.table.error:
            return False
        QuarantineRun.across_tenants.filter(pk=pk).update(worked_at=timezone.now())
        left = QuarantineChunk.across_tenants.filter(run__table=run.table, done_at=None).first()
        if left is not None:
            _Step(_read(left.run_id)).go_on(left)
            return True
        return run.state in GOES_ON and _Step(run).begin()


def _read(pk: int) -> QuarantineRun:
    rows = QuarantineRun.across_tenants.select_related("table__tenant__warehouse")
    return rows.get(pk=pk)


@dataclass(frozen=True, slots=True)
class _Step:
    run: QuarantineRun

    @property
    def table(self) -> Table:
        return self.run.table

    @property
    def is_replay(self) -> bool:
        return self.run.action == QuarantineAction.REPLAY

    def begin(self) -> bool:
        """Open the next chunk and finish it; ends the run and returns False if none is left."""
        run, version = self.run, self.table.version
        columns = self._columns(version)
        read = messages.next_chunk(selection_of(run), run.cursor, run.repair, columns=columns)
        if read is None:
            QuarantineRun.across_tenants.filter(pk=run.pk, state__in=GOES_ON).update(
                state=RunState.DONE, error="", finished_at=timezone.now()
            )
            return False
        result = self._typed(version, read)
        batches = {batch for batch, _ in read.keys}
        waiting = departures.unsettled(batches)
        leaving = [key for key in self._leaving(read, result) if key[0] not in waiting]
        unfit = sum(misfit.key[0] not in waiting for misfit in result.misfits)
        skipped = sum(key[0] in waiting for key in read.keys)
        present = messages.in_table(self.table, leaving)
        lacking = [key for key in leaving if key not in present]
        chunk = self._announce(version, read, leaving, lacking, unfit, skipped)
        if chunk is not None and leaving:
            self._land(chunk, read, result, is_new=True)
        return True

    def go_on(self, chunk: QuarantineChunk) -> None:
        """Finish a chunk that an earlier step, perhaps of a worker that was killed, has opened."""
        if chunk.landed_at is not None:
            self._remove(chunk)
            return
        columns = self._columns(chunk.table_version)
        read = messages.of_chunk(self.table, chunk, self.run.repair, columns)
        if self.is_replay:
            # ClickHouse may still run an insert of that step.
            await_inserts(chunk.token)
        if read is None:
            self._count(chunk, set(), None)
            self._remove(chunk)
        else:
            self._land(chunk, read, self._typed(chunk.table_version, read), is_new=False)

    def _typed(self, version: int, read: Messages) -> Typed:
        return typed(self._address(version), read) if self.is_replay else Typed()

    def _columns(self, version: int) -> Sequence[ColumnSpec]:
        """Those that type the messages; none for a discard."""
        return self._address(version).columns if self.is_replay else ()

    def _address(self, version: int) -> Address:
        return addresses.address_of_version(self.table, version)

    def _leaving(self, read: Messages, result: Typed) -> Collection[Key]:
        return [key for key in read.keys if result.leaves(key)] if self.is_replay else read.keys

    def _announce(
        self,
        version: int,
        read: Messages,
        leaving: Sequence[Key],
        lacking: Sequence[Key],
        unfit: int,
        skipped: int,
    ) -> QuarantineChunk | None:
        """Write the chunk and the run's progress; None if the table has another version by now."""
        with transaction.atomic():
            rows = Table.across_tenants.select_for_update(no_key=True)
            if rows.get(pk=self.table.pk).version != version:
                return None
            chunk = None
            if leaving:
                times = [read.ingested[key] for key in leaving]
                token = uuid.uuid4()
                chunk = QuarantineChunk.across_tenants.create(
                    run=self.run,
                    token=token,
                    block=_token_of(token, lacking),
                    table_version=version,
                    keys=messages.stored(leaving),
                    from_ms=min(times),
                    to_ms=max(times),
                )
            going = QuarantineRun.across_tenants.filter(pk=self.run.pk)
            going.update(
                cursor=read.cursor, unfit=F("unfit") + unfit, skipped=F("skipped") + skipped
            )
            going.filter(state__in=GOES_ON).update(state=RunState.RUNNING, error="")
        return chunk

    def _land(self, chunk: QuarantineChunk, read: Messages, result: Typed, *, is_new: bool) -> None:
        keys = messages.keys_of(chunk.keys)
        left = set(keys)
        if self.is_replay:
            if not is_new:
                self._repeat(chunk, result, keys)
            left = self._insert(chunk, result, keys)
        self._count(chunk, left & set(read.keys), read)
        self._remove(chunk)

    def _repeat(self, chunk: QuarantineChunk, result: Typed, keys: Sequence[Key]) -> None:
        """Insert the block again as it was, while ClickHouse certainly remembers its token.

        Even if the table has all rows, a rollup behind it may not: each has its own window.
        """
        fits = [key for key in keys if result.leaves(key)]
        is_whole = chunk.block == _token_of(chunk.token, fits)
        if is_whole and is_remembered(self.table, chunk.opened_at):
            self._send(chunk, result, fits)

    def _insert(self, chunk: QuarantineChunk, result: Typed, keys: Sequence[Key]) -> set[Key]:
        """Insert the rows that the table lacks; returns the keys that it has then."""
        wanted = [key for key in keys if result.leaves(key)]
        present = messages.in_table(self.table, keys)
        if missing := [key for key in wanted if key not in present]:
            self._send(chunk, result, missing)
            present = messages.in_table(self.table, keys)
        if lost := [key for key in wanted if key not in present]:
            msg = f"{self.run}: {len(lost)} rows are not in the table after their insert."
            raise Shortfall(msg)
        return present

    def _send(self, chunk: QuarantineChunk, result: Typed, keys: Sequence[Key]) -> None:
        place = self._address(chunk.table_version).place
        rows = direct_insert.Rows(
            good=[result.rows[key] for key in keys if key in result.rows],
            filtered=[result.filtered[key] for key in keys if key in result.filtered],
        )
        direct_insert.land_replayed(place, rows, chunk.token, _token_of(chunk.token, keys))

    def _count(self, chunk: QuarantineChunk, left: set[Key], read: Messages | None) -> None:
        """Count the messages that leave, in the ledger and in the run. From here on they may go."""
        with transaction.atomic():
            if read is not None:
                departures.note(self.run, left, read.places)
            QuarantineRun.across_tenants.filter(pk=self.run.pk).update(moved=F("moved") + len(left))
            chunk.keys, chunk.landed_at = messages.stored(sorted(left)), timezone.now()
            chunk.save(update_fields=["keys", "landed_at"])

    def _remove(self, chunk: QuarantineChunk) -> None:
        """Delete what the chunk has counted from the quarantine, and close it."""
        if chunk.keys:
            database = self.table.tenant.warehouse.database
            name = names.quarantine(self.table.name)
            delete_rows(database, name, messages.condition_of(chunk))
        chunk.keys, chunk.done_at = {}, timezone.now()
        chunk.save(update_fields=["keys", "done_at"])


def _token_of(token: uuid.UUID, keys: Sequence[Key]) -> uuid.UUID:
    """The token of a block: equal for the same messages, so ClickHouse drops a repetition."""
    text = ",".join(f"{batch}:{offset}" for batch, offset in sorted(keys))
    return uuid.uuid5(token, hashlib.sha256(text.encode()).hexdigest())
