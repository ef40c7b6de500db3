"""Deleting and archiving by hand: who may, what the page says, and what it asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from walking.cast import Cast, make, rows_of

from analytics_api.models import SavedQuery, SavedQueryVersion
from ingestion.models import Connection, Source, Table
from tenants.models import AuditEntry


@pytest.fixture
def cast(db: None, unique: Any) -> Cast:
    return make(unique("x").removeprefix("x"), in_engine=False)


@pytest.fixture
def as_(cast: Cast) -> Callable[[str], Client]:
    def log_in(name: str) -> Client:
        client = Client()
        if name == "operator":
            client.force_login(User.objects.create_superuser("operator"))
        else:
            client.force_login(User.objects.get(username=name))
        return client

    return log_in


def address(obj: Any, page: str, *more: str) -> str:
    meta = obj._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_{page}", args=[obj.pk, *more])


def the_read_source(cast: Cast) -> Source:
    """The one that has read: it has a partition, batches, gaps and history."""
    found: Source = rows_of(cast.own, Source).get(connection=None)
    assert found.partitions.exists()
    return found


@pytest.mark.slow
@pytest.mark.parametrize("who", ["operator", "owner", "editor"])
@pytest.mark.parametrize("model", [Source, Table, Connection])
def test_who_may_delete_does_so_after_its_name_is_typed(
    model: Any, who: str, as_: Callable[[str], Client], cast: Cast
) -> None:
    obj = the_read_source(cast) if model is Source else rows_of(cast.own, model).get()
    client, at = as_(who), address(obj, "delete")
    page = client.get(at).content.decode()
    assert obj.name in page
    assert "Goes" in page
    assert "Stays" in page
    assert "permission" not in page
    wrong = client.post(at, {"confirmation": "no", "rows": "keep"}).content.decode()
    assert f"give its name as the confirmation: {obj.name}" in wrong
    assert type(obj).across_tenants.filter(pk=obj.pk).exists()
    done = client.post(at, {"confirmation": obj.name, "rows": "keep"}, follow=True)
    assert f"{obj} was deleted." in done.content.decode()
    assert not type(obj).across_tenants.filter(pk=obj.pk).exists()
    (entry,) = AuditEntry.across_tenants.filter(
        action=f"{model._meta.model_name}.delete", object_id=str(obj.pk)
    )
    assert entry.actor_name == who


def test_the_page_of_a_table_names_the_saved_queries_that_fail_then(
    as_: Callable[[str], Client], cast: Cast
) -> None:
    table = rows_of(cast.own, Table).get()
    client, at = as_("editor"), address(table, "delete")
    assert "Will fail" not in client.get(at).content.decode()
    for number in range(22):
        query = SavedQuery.objects.create(
            tenant=cast.own, name=f"reads_{number:02}", sql=f"SELECT n FROM {table.name}"
        )
        query.published = SavedQueryVersion.objects.create(query=query, number=1, sql=query.sql)
        query.save()
    page = client.get(at).content.decode()
    assert "Will fail" in page
    assert "reads_00, reads_01" in page
    assert "reads_19 and 2 more." in page


def test_a_viewer_may_not_and_nobody_another_tenants(
    as_: Callable[[str], Client], cast: Cast
) -> None:
    own, other = the_read_source(cast), rows_of(cast.other, Source).get(connection=None)
    for who, obj, status in (("viewer", own, 403), ("owner", other, 302), ("editor", other, 302)):
        client = as_(who)
        form = {"confirmation": obj.name, "rows": "keep"}
        assert client.get(address(obj, "delete")).status_code == status
        assert client.post(address(obj, "delete"), form).status_code == status
        ask = client.get(address(obj, "act", "archive"))
        assert ask.status_code == (403 if status == 403 else 404)
    assert Source.across_tenants.count() == 4


def test_the_lists_delete_nothing_at_once(as_: Callable[[str], Client], cast: Cast) -> None:
    client = as_("operator")
    for model in (Source, Table, Connection):
        at = reverse(f"admin:ingestion_{model._meta.model_name}_changelist")
        assert "delete_selected" not in client.get(at).content.decode()


def test_archiving_says_what_it_does_and_can_be_taken_back(
    as_: Callable[[str], Client], cast: Cast
) -> None:
    source, client = the_read_source(cast), as_("editor")
    at = address(source, "act", "archive")
    for page in (client.get(at), client.post(at)):
        assert "Millrace stops reading" in page.content.decode()
    source.refresh_from_db()
    assert not source.is_archived
    client.post(at, {"confirmed": "1"})
    source.refresh_from_db()
    assert source.is_archived
    page = client.get(address(source, "change")).content.decode()
    assert "Archived" in page
    assert "/do/resume/" not in page
    told = client.post(address(source, "act", "resume"), follow=True).content.decode()
    assert "Restore it first" in told
    client.post(address(source, "act", "restore"))
    source.refresh_from_db()
    assert (source.is_archived, source.active) == (False, False)
    assert AuditEntry.across_tenants.filter(action="source.archive").count() == 1


def test_archiving_a_table_archives_all_that_feeds_it(
    as_: Callable[[str], Client], cast: Cast
) -> None:
    table = rows_of(cast.own, Table).get()
    as_("owner").post(address(table, "act", "archive"), {"confirmed": "1"})
    assert all(one.is_archived for one in table.sources.all())
    assert not rows_of(cast.other, Source).exclude(archived_at=None).exists()
