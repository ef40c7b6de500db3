"""Versions of tables: when there is a new one, and what tables had before there were any."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
from django.apps import apps

from ingestion import versions
from ingestion.ddl import paths
from ingestion.models import Column, Source, Table, TableVersion
from ingestion.provision import columns_of, existing, provision_table, spec_of
from ingestion.services import tables
from ingestion.tasks import provision as tasks
from tenants.models import Plan, ProvisionState, Tenant
from tenants.services.plans import give_plan
from tenants.warehouse.statements import MOST_DAYS

COLUMNS = [{"name": "n", "type": "UInt8"}]


@pytest.fixture
def made(tenant_factory: Callable[..., Tenant], table_factory: Callable[..., Table]) -> Table:
    return table_factory(tenant_factory(), COLUMNS)


def bring(table: Table) -> Table:
    tables.request_table(table)
    provision_table(table)
    table.refresh_from_db()
    assert table.state == ProvisionState.READY, table.error
    return table


def test_only_other_columns_are_a_new_version(made: Table) -> None:
    assert bring(made).version == 1
    made.ttl = "_timestamp + INTERVAL 1 YEAR"
    made.save()
    assert bring(made).version == 1
    Column.objects.create(table=made, name="s", type="Nullable(String)", required=False)
    assert bring(made).version == 2
    first, second = made.versions.order_by("number")
    assert [one["name"] for one in first.columns] == ["n"]
    assert [one["name"] for one in second.columns] == ["n", "s"]


def test_what_was_applied_before_there_were_formats_stays_as_it_is(made: Table) -> None:
    version = made.versions.get()
    columns = [{key: one[key] for key in one if key != "format"} for one in version.columns]
    assert columns != version.columns
    TableVersion.objects.filter(pk=version.pk).update(columns=columns)
    assert bring(made).version == 1
    assert versions.columns_of(made) == columns_of(made)


def test_another_format_is_a_new_version(made: Table) -> None:
    Column.objects.create(
        table=made, name="d", type="Nullable(Date)", required=False, format="%Y/%m/%d"
    )
    assert bring(made).version == 2
    made.columns.filter(name="d").update(format="%d.%m.%Y")
    assert bring(made).version == 3


def test_a_pipeline_of_an_earlier_form_is_made_anew(
    made: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "send", lambda *_, **__: None)
    tasks.reconcile()
    made.refresh_from_db()
    assert made.state == ProvisionState.READY
    monkeypatch.setattr(versions, "PIPELINE_FORM", versions.PIPELINE_FORM + 1)
    tasks.reconcile()
    made.refresh_from_db()
    assert made.state == ProvisionState.PENDING
    provision_table(made)
    assert (made.version, made.state) == (2, ProvisionState.READY)
    tasks.reconcile()
    made.refresh_from_db()
    assert made.state == ProvisionState.READY


def test_what_was_applied_before_there_were_versions_is_the_first(made: Table) -> None:
    TableVersion.objects.filter(table=made).delete()
    Table.objects.filter(pk=made.pk).update(version=0)
    refused = Table.objects.create(
        tenant=made.tenant, name="refused", generation=2, applied=1, state=ProvisionState.FAILED
    )
    Column.objects.create(table=refused, name="n", type="String")
    migration: Any = importlib.import_module("ingestion.migrations.0015_first_table_versions")
    for _ in range(2):
        migration.keep_what_is_applied(apps, None)
    made.refresh_from_db()
    refused.refresh_from_db()
    assert (made.version, refused.version) == (1, 0)
    assert versions.columns_of(made) == versions.read(TableVersion.objects.get(table=made))
    # The views that it has are of the first version, whatever that is.
    assert versions.next_number(refused, ()) == (2, True)


def test_a_path_that_began_with_the_key_dollar_goes_on_meaning_it(made: Table) -> None:
    stored = {
        "$.n": ("$", "n"),
        "$": ("$",),
        "$.a-b.$": ("$", "a-b", "$"),
        "$['it's']": ("$['it's']",),
        "a.$.b": ("a", "$", "b"),
        "$set.plan": ("$set", "plan"),
        "": ("c6",),
    }
    for number, path in enumerate(stored):
        Column.objects.create(table=made, name=f"c{number}", type="String", path=path)
    described = [asdict(one) for one in columns_of(made)]
    TableVersion.objects.filter(table=made).update(columns=described)
    migration: Any = importlib.import_module("ingestion.migrations.0020_jsonpath")
    migration.write_keys(apps, None)
    found = {one.name: one.keys for one in columns_of(made)}
    assert [found[f"c{number}"] for number in range(len(stored))] == list(stored.values())
    assert versions.read(TableVersion.objects.get(table=made)) == columns_of(made)
    told = {one.name for one in made.columns.all() if paths.remark(one.path)}
    assert told == {"c0", "c1", "c2", "c3"}


def test_a_retention_beyond_what_clickhouse_can_count_deletes_nothing(made: Table) -> None:
    """Its DateTime ends in 2106, and a TTL beyond it would be one in 1970."""
    give_plan(made.tenant, Plan.objects.create(name="for ever", retention_days=10**9))
    assert spec_of(made).retention_days == MOST_DAYS
    bring(made)
    found = existing(spec_of(made))
    assert found is not None
    assert found.has_ttl


def test_what_a_source_has_read_from_is_fixed(made: Table) -> None:
    other = Table.objects.create(tenant=made.tenant, name="other")
    source = Source.objects.create(tenant=made.tenant, name="web", table=made)
    source.table = other
    source.clean()
    source.table = made
    source.partitions.create(number=0, position=7)
    source.clean()
    source.table = other
    with pytest.raises(Exception, match="has already read from the events endpoint into events"):
        source.clean()
