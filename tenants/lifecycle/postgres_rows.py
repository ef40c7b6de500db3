"""Postgres as a store: all rows of a tenant. It walks the models, so new models are covered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import IntegrityError, OperationalError, transaction
from django.db.models import SET_NULL, CharField, ForeignKey, Model, QuerySet
from django.db.models.functions import Cast

from tenants.lifecycle.registry import Doomed
from tenants.models import AuditEntry, Tenant

_ATTEMPTS = 5
#: The audit log stays: it belongs to the installation and contains none of the tenant's events.
KEPT: tuple[type[Model], ...] = (AuditEntry,)

_LOG = (
    "The audit log keeps {} entries about the tenant. manage.py audit --prune-days DAYS deletes "
    "those of all tenants that are older."
)


def paths(owner: type[Model] = Tenant) -> list[tuple[type[Model], str]]:
    """All models whose rows belong to an ``owner``, with the look-up to it; the farthest first."""
    models = apps.get_models(include_auto_created=True)
    by_model = {model: _path(model, owner, ()) for model in models}
    owned = [
        (model, path) for model, path in by_model.items() if path and model not in (owner, *KEPT)
    ]
    return sorted(owned, key=lambda pair: (-pair[1].count("__"), pair[0]._meta.label))


def _path(model: type[Model], owner: type[Model], seen: tuple[type[Model], ...]) -> str:
    """The shortest look-up from a row to its owner by foreign keys, or '' if there is none."""
    if model is owner:
        return "pk"
    ways = []
    for field in model._meta.concrete_fields:
        target = field.related_model
        if not isinstance(field, ForeignKey) or not isinstance(target, type) or target in seen:
            continue
        # A row that survives the deletion of its target does not belong to the target.
        if field.remote_field.on_delete is SET_NULL:
            continue
        rest = _path(target, owner, (*seen, model))
        if rest:
            ways.append(field.name if rest == "pk" else f"{field.name}__{rest}")
    return min(ways, key=lambda way: (way.count("__"), way), default="")


def below(obj: Model) -> dict[type[Model], int]:
    """How many rows of each model belong to an object, without models that have none."""
    counted = {
        model: model._base_manager.filter(**{path: obj.pk}).order_by().count()
        for model, path in paths(type(obj))
    }
    return {model: number for model, number in counted.items() if number}


def remove_with_all_below(
    obj: Model, note: Callable[[], None], lock: Callable[[], None] = lambda: None
) -> None:
    """Delete an object's row and all rows that belong to it, in one transaction.

    ``lock`` runs first in the transaction; it must lock rows in the same order as other code.
    ``note`` runs last, to record the deletion. A new attempt follows if a running task wrote a row
    meanwhile, or if the transaction was aborted because of a deadlock.
    """
    for attempt in range(_ATTEMPTS):
        try:
            with transaction.atomic():
                lock()
                for model, path in paths(type(obj)):
                    _delete(model._base_manager.filter(**{path: obj.pk}).order_by())
                _delete(type(obj)._base_manager.filter(pk=obj.pk))
                note()
        except (IntegrityError, OperationalError):
            if attempt == _ATTEMPTS - 1:
                raise
        else:
            return


class PostgresRows:
    """The tenant's row, all rows that belong to it, and their history in Django's admin."""

    name = "Postgres"

    def settle(self, doomed: Doomed) -> None:
        """Nothing to wait for: the rows are deleted last, in one transaction."""

    def count(self, doomed: Doomed) -> Mapping[str, int]:
        counts = {
            model._meta.db_table: _owned(model, path, doomed).count() for model, path in paths()
        }
        counts[LogEntry._meta.db_table] = sum(entries.count() for entries in _noted(doomed))
        counts[Tenant._meta.db_table] = Tenant.objects.filter(slug=doomed.slug).count()
        return counts

    def remove(self, doomed: Doomed) -> list[str]:
        for attempt in range(_ATTEMPTS):
            try:
                self._remove(doomed)
            except (IntegrityError, OperationalError):
                # A process that still remembered a key accepted an event meanwhile, or there was a
                # deadlock.
                if attempt == _ATTEMPTS - 1:
                    raise
            else:
                break
        kept = AuditEntry.across_tenants.filter(tenant_slug=doomed.slug).count()
        return [_LOG.format(kept)] if kept else []

    @transaction.atomic
    def _remove(self, doomed: Doomed) -> None:
        for entries in _noted(doomed):
            _delete(entries)
        for model, path in paths():
            _delete(_owned(model, path, doomed))
        _delete(Tenant._base_manager.filter(slug=doomed.slug))


def _owned(model: type[Model], path: str, doomed: Doomed) -> QuerySet[Model]:
    return model._base_manager.filter(**{path: doomed.pk}).order_by()


def _noted(doomed: Doomed) -> list[QuerySet[LogEntry]]:
    """The admin's history of the tenant and its objects, which contains their names."""
    histories = []
    owned: list[tuple[type[Model], str]] = [(Tenant, "pk"), *paths()]
    for model, path in owned:
        content_type = ContentType.objects.get_for_model(model, for_concrete_model=False)
        keys = (
            _owned(model, path, doomed).annotate(pk_text=Cast("pk", CharField())).values("pk_text")
        )
        entries = LogEntry._base_manager.filter(content_type=content_type, object_id__in=keys)
        histories.append(entries.order_by())
    return histories


def _delete(rows: QuerySet[Any]) -> None:
    """Delete rows without loading them, as there may be millions.

    Postgres checks foreign keys at the commit.
    """
    rows._raw_delete(rows.db)  # noqa: SLF001 - delete() would load every row that belongs to them
