"""The operators' API: who may call it, and each thing that it does."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from ingestion.models import Source
from tenants.models import OperatorKey, Scope, Tenant
from tenants.selectors.operator_keys import find_operator_key
from tenants.services import keys
from tenants.services.operator_keys import create_operator_key, revoke_operator_key

ADDRESSES = [
    ("get", "/api/v1/tenants"),
    ("post", "/api/v1/tenants"),
    ("get", "/api/v1/tenants/{slug}"),
    ("patch", "/api/v1/tenants/{slug}"),
    ("delete", "/api/v1/tenants/{slug}"),
    ("get", "/api/v1/tenants/{slug}/deletion"),
    ("post", "/api/v1/tenants/{slug}/suspend"),
    ("post", "/api/v1/tenants/{slug}/resume"),
    ("get", "/api/v1/tenants/{slug}/exports"),
    ("post", "/api/v1/tenants/{slug}/exports"),
    ("post", "/api/v1/tenants/{slug}/erase"),
]


JSON = "application/json"


class Operator:
    def __init__(self, key: str) -> None:
        self.key = key
        self.client = Client(raise_request_exception=False)

    def __call__(self, method: str, path: str, body: Any = None, key: str = "") -> Any:
        return getattr(self.client, method)(
            f"/api/v1/tenants{path}",
            **(
                {}
                if method == "get"
                else {"data": {} if body is None else body, "content_type": JSON}
            ),
            headers={"Authorization": f"Bearer {key or self.key}"},
        )


@pytest.fixture
def operator(db: None) -> Operator:
    return Operator(create_operator_key("test")[1])


# --- Who may ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "address"), ADDRESSES)
def test_no_key_of_a_tenant_and_no_login_opens_an_operators_address(
    method: str, address: str, db: None, unique: Callable[[str], str], admin_client: Client
) -> None:
    tenant = Tenant.objects.create(slug=unique("t"), name="T")
    _, key = keys.create_key(tenant, "all", scopes=list(Scope.values))
    path = address.format(slug=tenant.slug)
    given = ["", f"Bearer {key}", f"Bearer op_{key}", "Bearer op_mr_x", "Basic eDp5", "Bearer "]
    for header in given:
        answer = getattr(admin_client, method)(path, headers={"Authorization": header})
        assert answer.status_code == 401, header
        assert answer["Content-Type"] == "application/problem+json"
    stranger = getattr(Client(), method)(
        address.format(slug="stranger"), headers={"Authorization": f"Bearer {key}"}
    )
    same = getattr(Client(), method)(path, headers={"Authorization": f"Bearer {key}"})
    assert stranger.content == same.content
    tenant.refresh_from_db()
    assert tenant.status == "active"


def test_an_operators_key_opens_nothing_of_a_tenants(operator: Operator) -> None:
    for path in ("/api/v1/queries", "/api/v1/sources"):
        for key in (operator.key, operator.key.removeprefix("op_")):
            answer = Client().get(path, headers={"Authorization": f"Bearer {key}"})
            assert answer.status_code == 401


def test_a_revoked_or_expired_operators_key_is_refused(db: None) -> None:
    row, text = create_operator_key("a")
    assert text.encode() not in bytes(row.sha256)
    assert find_operator_key(text) == row
    assert find_operator_key(text[:-1] + ("y" if text.endswith("x") else "x")) is None
    assert revoke_operator_key(row.prefix)
    assert find_operator_key(text) is None
    _, old = create_operator_key("b", expires_at=timezone.now() - timedelta(seconds=1))
    assert find_operator_key(old) is None


def test_the_command_prints_an_operators_key_once_and_revokes_it(
    db: None, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("operator_key", "--name", "deploy")
    text = capsys.readouterr().out.strip()
    made = find_operator_key(text)
    assert made is not None
    assert made.name == "deploy"
    call_command("operator_key", "--revoke", f"op_mr_{made.prefix}")
    assert find_operator_key(text) is None
    with pytest.raises(CommandError):
        call_command("operator_key", "--revoke", made.prefix)
    assert OperatorKey.objects.get().last_used_at is not None


# --- What it does -------------------------------------------------------------------------------


def test_a_tenant_is_made_limited_suspended_and_resumed(
    operator: Operator, unique: Callable[[str], str]
) -> None:
    slug = unique("made")
    made = operator("post", "", {"slug": slug, "name": "Made"})
    assert (made.status_code, made.json()["status"]) == (201, "active")
    assert Tenant.objects.get().warehouse.database == f"t_{slug}"
    assert operator("post", "", {"slug": slug}).status_code == 409
    assert operator("patch", f"/{slug}", {"weight": 7}).json()["weight"] == 7
    assert operator("post", f"/{slug}/suspend").json()["status"] == "suspended"
    assert operator("post", f"/{slug}/suspend").json()["status"] == "suspended"
    assert operator("post", f"/{slug}/resume").json()["status"] == "active"
    assert [one["slug"] for one in operator("get", "").json()["tenants"]] == [slug]
    assert operator("get", f"/{slug}").json()["name"] == "Made"
    assert operator("get", "/stranger").status_code == 404
    assert operator("get", f"/{slug}/exports").json() == {"exports": []}


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("post", "", "{", "body_unreadable"),
        ("post", "", [], "parameter_invalid"),
        ("post", "", {"slug": "abc", "wieght": 7}, "unknown_member"),
        ("post", "", '{"slug": "abc", "slug": "abd"}', "doubled_member"),
        ("patch", "/{slug}", {"weigth": 7}, "unknown_member"),
        ("post", "/{slug}/erase", {"column": "a", "value": "b", "prevew": True}, "unknown_member"),
        ("post", "/{slug}/suspend", {"for": "a day"}, "unknown_member"),
        ("post", "/{slug}/resume", {"at": "noon"}, "unknown_member"),
        ("post", "/{slug}/exports", {"tables": ["a"]}, "unknown_member"),
        ("post", "/{slug}/exports", [1], "parameter_invalid"),
        ("patch", "/{slug}?weight=7", {}, "unknown_parameter"),
        ("delete", "/{slug}?confirm=a&confirm={slug}", {}, "doubled_parameter"),
        ("post", "", {}, "parameter_invalid"),
        ("post", "", {"slug": "Not A Slug"}, "refused"),
        ("post", "", {"slug": "a\0b"}, "refused"),
        ("post", "", {"slug": "a", "name": "a\0b"}, "refused"),
        ("post", "", {"slug": 7}, "parameter_invalid"),
        ("patch", "/{slug}", {"weight": "7"}, "parameter_invalid"),
        ("post", "/{slug}/erase", {"column": "a\0", "value": "x"}, "refused"),
        ("patch", "/{slug}", {"weight": 0}, "parameter_invalid"),
        ("patch", "/{slug}", {"weight": 10**30}, "parameter_invalid"),
        ("post", "/{slug}/erase", {"column": "who"}, "parameter_invalid"),
        ("post", "/{slug}/erase", {"column": "who", "value": "x"}, "refused"),
        ("delete", "/{slug}?confirm=other", None, "not_confirmed"),
    ],
)
def test_what_is_asked_wrongly_is_told_and_changes_nothing(
    method: str, path: str, body: Any, code: str, operator: Operator, unique: Callable[[str], str]
) -> None:
    tenant = Tenant.objects.create(slug=unique("t"), name="T")
    answer = operator(method, path.format(slug=tenant.slug), body)
    assert 400 <= answer.status_code < 500, answer.content
    assert answer.json()["code"] == code
    assert Tenant.objects.count() == 1


@pytest.mark.slow
def test_a_person_is_erased_and_a_tenant_deleted(
    operator: Operator, source: Source, valkey: str
) -> None:
    slug = source.tenant.slug
    asked = {"column": "who", "value": "ann"}
    shown = operator("post", f"/{slug}/erase", asked).json()
    assert (shown["rows"], shown["erased"]) == (3, False)
    done = operator("post", f"/{slug}/erase", asked | {"preview": False}).json()
    assert [one["after"] for one in done["places"]] == [0, 0]
    assert operator("post", f"/{slug}/erase", asked).json()["rows"] == 0
    told = operator("get", f"/{slug}/deletion").json()
    assert told["deleted"] is False
    held = {what: n for one in told["stores"] for what, n in one["before"].items()}
    assert held["rows of events"] == 1
    assert operator("delete", f"/{slug}").status_code == 409
    assert Tenant.objects.filter(slug=slug).exists()
    gone = operator("delete", f"/{slug}?confirm={slug}").json()
    assert gone["deleted"] is True
    assert {n for one in gone["stores"] for n in one["after"].values()} == {0}
    assert operator("delete", f"/{slug}?confirm={slug}").status_code == 404
