"""Postgres: every row of a tenant's, found by walking the models, so that a new one is covered."""

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
#: What was done stays known: it is the installation's log, and holds no event of the tenant's.
KEPT: tuple[type[Model], ...] = (AuditEntry,)

_LOG = "The audit log keeps its {} entries, who did what and when; manage.py audit prunes them."


def paths(owner: type[Model] = Tenant) -> list[tuple[type[Model], str]]:
    """Every model whose rows belong to an ``owner``, with the way there; the farthest first."""
    found = {model: _path(model, owner, ()) for model in apps.get_models(include_auto_created=True)}
    owned = [(model, path) for model, path in found.items() if path and model not in (owner, *KEPT)]
    return sorted(owned, key=lambda one: (-one[1].count("__"), one[0]._meta.label))


def _path(model: type[Model], owner: type[Model], seen: tuple[type[Model], ...]) -> str:
    """The shortest way from a row to its owner by foreign keys, or '' where there is none."""
    if model is owner:
        return "pk"
    ways = []
    for field in model._meta.concrete_fields:
        target = field.related_model
        if not isinstance(field, ForeignKey) or not isinstance(target, type) or target in seen:
            continue
        # A row that outlives what it refers to is not owned by it.
        if field.remote_field.on_delete is SET_NULL:
            continue
        rest = _path(target, owner, (*seen, model))
        if rest:
            ways.append(field.name if rest == "pk" else f"{field.name}__{rest}")
    return min(ways, key=lambda way: (way.count("__"), way), default="")


def below(obj: Model) -> dict[type[Model], int]:
    """How many rows of each model belong to an object; what has none is left out."""
    counted = {
        model: model._base_manager.filter(**{path: obj.pk}).order_by().count()
        for model, path in paths(type(obj))
    }
    return {model: number for model, number in counted.items() if number}


def remove_with_all_below(
    obj: Model, note: Callable[[], None], lock: Callable[[], None] = lambda: None
) -> None:
    """Delete an object's row and all that belong to it; ``note`` is part of the transaction.

    ``lock`` comes first in it, and locks rows in the order in which others do. What comes in
    between, by a task that was under way, is deleted by the next attempt; so is what was given up
    because another waited in a circle.
    """
    for last in range(_ATTEMPTS):
        try:
            with transaction.atomic():
                lock()
                for model, path in paths(type(obj)):
                    _delete(model._base_manager.filter(**{path: obj.pk}).order_by())
                _delete(type(obj)._base_manager.filter(pk=obj.pk))
                note()
        except (IntegrityError, OperationalError):
            if last == _ATTEMPTS - 1:
                raise
        else:
            return


class PostgresRows:
    """The tenant's row and all below it, and what Django's admin has noted of them."""

    name = "Postgres"

    def settle(self, doomed: Doomed) -> None:
        """Rows are deleted in one transaction, after all else."""

    def count(self, doomed: Doomed) -> Mapping[str, int]:
        found = {
            model._meta.db_table: _owned(model, path, doomed).count() for model, path in paths()
        }
        found[LogEntry._meta.db_table] = sum(one.count() for one in _noted(doomed))
        found[Tenant._meta.db_table] = Tenant.objects.filter(slug=doomed.slug).count()
        return found

    def remove(self, doomed: Doomed) -> list[str]:
        for last in range(_ATTEMPTS):
            try:
                self._remove(doomed)
            except (IntegrityError, OperationalError):
                # An event was accepted in between, by a process that still had the key in memory;
                # or another waited in a circle.
                if last == _ATTEMPTS - 1:
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
    """What the admin's history says of the tenant and its objects; their names stand in it."""
    found = []
    owned: list[tuple[type[Model], str]] = [(Tenant, "pk"), *paths()]
    for model, path in owned:
        content_type = ContentType.objects.get_for_model(model, for_concrete_model=False)
        keys = (
            _owned(model, path, doomed).annotate(pk_text=Cast("pk", CharField())).values("pk_text")
        )
        entries = LogEntry._base_manager.filter(content_type=content_type, object_id__in=keys)
        found.append(entries.order_by())
    return found


def _delete(rows: QuerySet[Any]) -> None:
    """Without loading a row: there may be millions. Foreign keys are checked at the commit."""
    rows._raw_delete(rows.db)  # noqa: SLF001 - delete() would load every row below it
