"""A member sees and changes nothing of another tenant, anywhere in the admin."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from walking import pages
from walking.cast import CANARY, Cast, make, rows_of, tells_of_other

from analytics_api.models import SavedQuery
from ingestion.models import Column, Connection, Source, Table
from tenants import roles
from tenants.admin import base, scope
from tenants.models import APIKey, AuditEntry, Membership, Plan, Tenant, Usage
from tenants.provisioning.warehouse import remove
from tenants.scoping import across_tenants

# Every page is asked for, three times over; with a storm beside it that takes minutes.
pytestmark = [pytest.mark.security, pytest.mark.timeout(600)]


@pytest.fixture
def cast(request: Any, db: None, unique: Any) -> Iterator[Cast]:
    """In the engine too for tests that walk all pages."""
    walks = "walk" in request.function.__name__ or "no_page" in request.function.__name__
    if walks:
        request.getfixturevalue("clickhouse_server")
        request.getfixturevalue("valkey")
    made = make(unique("x").removeprefix("x"), in_engine=walks)
    yield made
    for tenant in (made.own, made.other) if walks else ():
        remove(tenant.warehouse.database, tenant.warehouse.username)


@pytest.fixture
def as_(cast: Cast) -> Callable[[str], Client]:
    def log_in(name: str) -> Client:
        client = Client()
        client.force_login(User.objects.get(username=name))
        return client

    return log_in


def text_of(answer: Any) -> str:
    """All of an answer that its reader gets."""
    body = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return f"{dict(answer.items())} {answer.cookies.output()} {body.decode()}".lower()


def every_page(cast: Cast) -> list[pages.Page]:
    return [*pages.general(cast.other), *pages.of_tenant(cast.own), *pages.of_tenant(cast.other)]


def one_of_each(cast: Cast) -> list[pages.Page]:
    """The first page of each kind: of all, of the own tenant's objects, of the other's."""
    lists = (pages.general(cast.other), pages.of_tenant(cast.own), pages.of_tenant(cast.other))
    return [page for found in lists for page in {one.name: one for one in found[::-1]}.values()]


def leaks_of(client: Client, found: Iterable[pages.Page]) -> Iterator[str]:
    """Those that tell of the other tenant; each is opened when the next leak is asked for."""
    for page in found:
        answer = client.get(page.address)
        assert answer.status_code < 500, page
        if tells_of_other(text_of(answer)):
            yield page.address


def state_of(tenant: Tenant) -> dict[str, Any]:
    return {
        model._meta.label: list(rows_of(tenant, model).order_by("pk").values())
        for model in [*pages.models(), Column]
        if model._meta.label not in {"auth.Group", "auth.User"}
    }


def name(model: Any, page: str) -> str:
    return f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}"


# --- Seeing -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("role", ["owner", "viewer"])
def test_no_page_tells_a_member_of_another_tenant(
    role: str, as_: Callable[[str], Client], cast: Cast
) -> None:
    found = every_page(cast) if role == "owner" else one_of_each(cast)
    assert len(found) > 150
    assert list(leaks_of(as_(role), found)) == []


def test_the_walk_finds_what_there_is_to_find(as_: Callable[[str], Client], cast: Cast) -> None:
    """The operator's has the canary in lists, forms, searches, filters and autocompletes."""
    User.objects.create_superuser("root")
    root, found = as_("root"), every_page(cast)
    for part in ("/admin/?", "q=", "autocomplete", "quarantine", "history", "delete", "export"):
        of_part = [page for page in found if re.search(part, page.address)]
        assert any(leaks_of(root, of_part)), part
    # More would prove no more.
    assert len(list(islice(leaks_of(root, found), 61))) > 60


@pytest.mark.slow
def test_the_walk_fails_when_scoping_is_taken_away(
    as_: Callable[[str], Client], cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor, found = as_("editor"), every_page(cast)
    with monkeypatch.context() as patch:
        patch.setattr(base, "visible", lambda rows, *_: rows)
        leaks = list(leaks_of(editor, one_of_each(cast)))
        assert leaks == [], "the scope around all pages holds alone"
    some = [page for page in found if re.search("/source/|/autocomplete/", page.address)]
    with monkeypatch.context() as patch:
        patch.setattr(scope, "scope_of", lambda _: across_tenants())
        without_scope = list(leaks_of(editor, some))
        assert any("/source/" in one for one in without_scope), "choices and filters leak"
        patch.setattr(base, "visible", lambda rows, *_: rows)
        assert len(list(leaks_of(editor, some))) > len(without_scope)


@pytest.mark.slow
@pytest.mark.parametrize("role", ["owner", "viewer"])
def test_an_object_of_another_is_as_one_that_does_not_exist(
    role: str, as_: Callable[[str], Client], cast: Cast
) -> None:
    client = as_(role)
    pairs = list(pages.missing(pages.of_tenant(cast.other)))
    assert len(pairs) > 60
    before = state_of(cast.other)
    for page, none in pairs:
        for send in (client.get, lambda at: client.post(at, {"post": "yes", "_save": "1"})):
            found, not_there = send(page.address), send(none.address)
            assert found.status_code == not_there.status_code, page
            assert _same(found, page) == _same(not_there, none), page
    assert state_of(cast.other) == before


def _same(answer: Any, page: pages.Page) -> str:
    """What is told, without the address that was asked for and what differs by chance.

    The object's number is left out with its address alone: 24 is a day of the month, too.
    """
    text = re.sub(r"csrfmiddlewaretoken\S+ value=\S+|nonce-?\S+|csrftoken=\S+", "", text_of(answer))
    text = re.sub(
        r"(messages|sessionid)=\S+|expires=[^;]+;|'expires': '[^']+'|'content-length': '\d+'",
        "",
        text,
    )
    return text.replace(page.address.lower(), "#")


# --- Doing --------------------------------------------------------------------------------------


def test_actions_reach_no_object_of_another(as_: Callable[[str], Client], cast: Cast) -> None:
    before, owner, tried = state_of(cast.other), as_("owner"), 0
    for model in pages.models():
        for action in [*admin.site._registry[model].actions, "delete_selected"]:
            keys = (
                [one.pk for one in rows_of(cast.other, model)] if model.__name__ != "Group" else [1]
            )
            form = {"action": action, "_selected_action": keys, "post": "yes"}
            for more in ({}, {"select_across": "1", "index": "0"}):
                answer = owner.post(reverse(name(model, "changelist")), form | more)
                assert answer.status_code in {200, 302, 403}
                assert CANARY not in text_of(answer)
                tried += 1
    assert tried > 30
    assert state_of(cast.other) == before


def _source_form(source: Source, **changes: Any) -> dict[str, Any]:
    return {
        "tenant": source.tenant_id,
        "name": "forged",
        "connection": "",
        "stream": "",
        "table": source.table_id,
        "start": "earliest",
        "quarantine_limit": "30",
        **changes,
    }


def test_no_forged_form_reaches_across(as_: Callable[[str], Client], cast: Cast) -> None:
    editor = as_("editor")
    own = rows_of(cast.own, Source).exclude(connection=None).get()
    other = rows_of(cast.other, Source).exclude(connection=None).get()
    shared = Connection.objects.create(name="shared", kind="kafka", addresses="k:1")
    before = state_of(cast.other)
    add = reverse(name(Source, "add"))
    for changes in (
        {"tenant": other.tenant_id},
        {"tenant": ""},
        {"table": other.table_id},
        {"connection": other.connection_id, "stream": "s"},
        {"connection": shared.pk, "stream": "s"},
    ):
        answer = editor.post(add, _source_form(own, **changes))
        assert answer.status_code == 200, changes
        assert "Select a valid choice" in answer.content.decode() or changes == {"tenant": ""}
        assert CANARY not in text_of(answer)
    change = reverse(name(Source, "change"), args=[own.pk])
    moved = {"tenant": other.tenant_id, "connection": own.connection_id, "stream": "s"}
    assert editor.post(change, _source_form(own, **moved)).status_code == 302
    own.refresh_from_db()
    assert (own.tenant, own.name) == (cast.own, "forged")
    for model, form in (
        (Connection, {"name": "c", "kind": "kafka", "addresses": "k:1", "options": "{}"}),
        (SavedQuery, {"name": "q", "sql": "SELECT 1", "parameters": "{}"}),
        (
            Table,
            {"name": "t", "sorting_key": "n", "quarantine_days": "3", "unknown_fields": "count"},
        ),
    ):
        for tenant in (cast.other.pk, ""):
            inline = {
                f"{prefix}-{count}_FORMS": "0"
                for prefix in ("versions", "columns")
                for count in ("TOTAL", "INITIAL")
            }
            answer = editor.post(reverse(name(model, "add")), form | inline | {"tenant": tenant})
            assert answer.status_code == 200, (model, tenant)
    assert state_of(cast.other) == before
    assert not Connection.objects.filter(tenant=None).exclude(pk=shared.pk).exists()


def test_a_column_of_another_is_not_taken_over_by_an_inline(
    as_: Callable[[str], Client], cast: Cast
) -> None:
    own, other = (rows_of(one, Table).get() for one in (cast.own, cast.other))
    before = state_of(cast.other)
    form = {
        "sorting_key": "n",
        "quarantine_days": "30",
        "unknown_fields": "count",
        "columns-TOTAL_FORMS": "1",
        "columns-INITIAL_FORMS": "1",
        "columns-0-id": other.columns.first().pk,
        "columns-0-table": other.pk,
        "columns-0-name": "stolen",
        "columns-0-type": "String",
    }
    as_("editor").post(reverse(name(Table, "change"), args=[own.pk]), form)
    assert state_of(cast.other) == before
    assert not own.columns.filter(name="stolen").exists()


def test_a_stream_of_a_shared_connection_is_the_operators_to_choose(
    as_: Callable[[str], Client], cast: Cast
) -> None:
    shared = Connection.objects.create(name="shared", kind="kafka", addresses="k:1")
    own = rows_of(cast.own, Source).exclude(connection=None).get()
    Source.across_tenants.filter(pk=own.pk).update(connection=shared, stream="ours")
    form = _source_form(own, connection=shared.pk, stream=f"{CANARY}-stream")
    answer = as_("editor").post(reverse(name(Source, "change"), args=[own.pk]), form)
    assert answer.status_code == 302
    own.refresh_from_db()
    assert (own.name, own.connection, own.stream) == ("forged", shared, "ours")
    page = as_("editor").get(reverse(name(Connection, "change"), args=[shared.pk]))
    assert page.status_code == 302, "the operator's brokers are not theirs to look at"


# --- Roles --------------------------------------------------------------------------------------


#: What each role may add and change; None: it may not even look.
MAY: dict[str, dict[Any, tuple[bool, bool | None]]] = {
    "owner": {APIKey: (True, True), Membership: (True, True), AuditEntry: (False, False)},
    "editor": {
        **dict.fromkeys((Source, Table, SavedQuery, Connection), (True, True)),
        **dict.fromkeys((APIKey, Membership, AuditEntry), (False, None)),
    },
    "viewer": {
        **dict.fromkeys((Source, Table, SavedQuery, Connection), (False, False)),
        **dict.fromkeys((APIKey, Membership, AuditEntry), (False, None)),
    },
}
#: The same for every role.
OF_ALL = {Plan: (False, None), Usage: (False, False), Tenant: (False, False), User: (False, None)}


@pytest.mark.parametrize("role", MAY)
def test_each_role_may_do_what_is_its(role: str, as_: Callable[[str], Client], cast: Cast) -> None:
    user = User.objects.get(username=role)
    user.user_permissions.set(Permission.objects.all())  # counts for nothing
    client = as_(role)
    for model, (add, change) in {**MAY[role], **OF_ALL}.items():
        _may(client, user, rows_of(cast.own, model), add=add, change=change)


def _may(client: Client, user: User, rows: Any, *, add: bool, change: bool | None) -> None:
    model = rows.model
    row = rows.exclude(user=user).first() if model is Membership else rows.first()
    assert client.get(reverse(name(model, "add"))).status_code == (200 if add else 403), model
    listed = client.get(reverse(name(model, "changelist")))
    assert listed.status_code == (403 if change is None else 200), model
    if change is None:
        return
    at = reverse(name(model, "change"), args=[row.pk])
    assert client.get(at).status_code == 200, model
    assert (client.post(at, {}).status_code == 403) is not change, model


def test_in_each_of_two_tenants_a_member_has_the_role_of_there(
    as_: Callable[[str], Client], cast: Cast
) -> None:
    user = User.objects.get(username="editor")
    Membership.objects.create(tenant=cast.other, user=user, role="viewer")
    client = as_("editor")
    own, other = (
        rows_of(one, Source).filter(connection=None).get() for one in (cast.own, cast.other)
    )
    assert roles.may(user, Source, "change", own)
    assert user.has_perm("ingestion.change_source", own)
    assert not user.has_perm("ingestion.change_source", other)
    page = client.get(reverse(name(Source, "change"), args=[other.pk]))
    assert page.status_code == 200
    assert "/do/pause/" not in page.content.decode()
    for source, status, active in ((own, 302, False), (other, 403, True)):
        at = reverse(name(Source, "act"), args=[source.pk, "pause"])
        assert client.post(at).status_code == status
        source.refresh_from_db()
        assert source.active is active
    form = {"action": "pause", "_selected_action": [own.pk, other.pk]}
    assert client.post(reverse(name(Source, "changelist")), form).status_code == 403
    answer = client.post(reverse(name(Source, "add")), _source_form(other))
    assert "Select a valid choice" in answer.content.decode()
    mixed = _source_form(own, table=other.table_id)
    answer = client.post(reverse(name(Source, "add")), mixed)
    assert "belongs to another tenant" in answer.content.decode()
    at = reverse(name(Source, "change"), args=[other.pk])
    assert client.post(at, _source_form(other)).status_code == 403


# --- Members ------------------------------------------------------------------------------------


def test_an_owner_takes_in_who_has_an_account(as_: Callable[[str], Client], cast: Cast) -> None:
    owner, add = as_("owner"), reverse(name(Membership, "add"))
    User.objects.create_user("newcomer", "new@example.com", "x")
    assert CANARY not in text_of(owner.get(add))
    for person, says in (("nobody", "No single active account"), ("viewer", "already a member")):
        form = {"tenant": cast.own.pk, "person": person, "role": "editor"}
        assert says in owner.post(add, form).content.decode()
    form = {"tenant": cast.own.pk, "person": "NEW@example.com", "role": "editor"}
    assert owner.post(add, form).status_code == 302
    made = Membership.objects.get(user__username="newcomer")
    assert (made.role, made.tenant, made.user.is_staff) == ("editor", cast.own, True)
    assert AuditEntry.across_tenants.first().action == "member.create"  # type: ignore[union-attr]
    assert as_("newcomer").get(reverse(name(Source, "add"))).status_code == 200
    forged = form | {"tenant": cast.other.pk, "person": "newcomer"}
    assert owner.post(add, forged).status_code == 200
    assert Membership.objects.filter(user__username="newcomer").count() == 1


def test_a_member_is_shown_no_link_to_what_is_the_operators(
    as_: Callable[[str], Client], cast: Cast
) -> None:
    page = as_("owner").get(reverse(name(Tenant, "change"), args=[cast.own.pk])).content.decode()
    assert cast.own.plan is not None
    for told in (cast.own.plan.name, "viewer"):
        assert told in page
    assert "/tenants/plan/" not in page
    assert "/auth/user/" not in page


def test_an_owner_keeps_their_own_role(as_: Callable[[str], Client], cast: Cast) -> None:
    owner = as_("owner")
    own = Membership.objects.get(user__username="owner")
    for page in ("change", "delete"):
        at = reverse(name(Membership, page), args=[own.pk])
        assert owner.post(at, {"role": "viewer", "post": "yes"}).status_code == 403
    viewer = Membership.objects.get(user__username="viewer")
    at = reverse(name(Membership, "delete"), args=[viewer.pk])
    assert owner.post(at, {"post": "yes"}).status_code == 302
    assert as_("viewer").get(reverse(name(Source, "changelist"))).status_code == 403


def test_a_member_of_nothing_sees_an_empty_overview(cast: Cast) -> None:
    client = Client()
    client.force_login(User.objects.create_user("nobody", is_staff=True))
    answer = client.get(reverse("admin:index"))
    assert answer.status_code == 200
    assert CANARY not in text_of(answer)
    assert "shop" not in text_of(answer)
