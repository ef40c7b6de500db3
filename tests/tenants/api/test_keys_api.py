"""``/api/v1/keys``, and what a key is held to: never more than the key that made it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from millrace.checks import trusted_proxies
from tenants import key_format
from tenants.client_address import client_address
from tenants.models import APIKey, AuditEntry, Tenant
from tenants.rest import authentication
from tenants.rights import Rights, RightsRefused
from tenants.services import keys

ALL = ("queries:run", "queries:sql", "events:write", "manage")


class Caller:
    def __init__(self, tenant: Tenant, **rights: Any) -> None:
        self.row, self.text = keys.create_key(
            tenant, "caller", rights=Rights(**({"scopes": ALL} | rights))
        )
        self.client = Client(raise_request_exception=False)

    def call(self, method: str, path: str, body: Any = None, **headers: Any) -> Any:
        authentication.forget()
        headers = {"Authorization": f"Bearer {self.text}"} | headers
        return getattr(self.client, method)(
            f"/api/v1/{path}",
            **({} if method == "get" else {"data": body, "content_type": "application/json"}),
            headers=headers,
        )


@pytest.fixture
def make(db: None, unique: Callable[[str], str]) -> Callable[..., Tenant]:
    return lambda stem: Tenant.objects.create(slug=unique(stem), name=stem)


@pytest.fixture
def owner(make: Callable[..., Tenant]) -> Caller:
    return Caller(make("owner"))


@pytest.fixture
def stranger(make: Callable[..., Tenant]) -> Caller:
    """Who must see nothing of the owner's."""
    return Caller(make("stranger"))


def test_a_key_is_made_listed_rotated_and_revoked(owner: Caller) -> None:
    asked = {"name": "shop", "scopes": ["queries:run"], "queries": ["a"], "signing": "HS256"}
    made = owner.call("post", "keys", asked)
    assert made.status_code == 201, made.content
    assert made["Cache-Control"] == "no-store"
    text, prefix = made.json()["key"], made.json()["prefix"]
    assert len(made.json()["signing_secret"]) == 64
    listed = owner.call("get", "keys")
    assert {one["prefix"] for one in listed.json()["keys"]} == {prefix, owner.row.prefix}
    assert text not in listed.content.decode()
    assert made.json()["signing_secret"] not in listed.content.decode()
    rotated = owner.call("post", f"keys/{prefix}/rotate", {"overlap_seconds": 60})
    assert rotated.status_code == 201, rotated.content
    assert rotated.json()["queries"] == ["a"]
    old = owner.call("get", f"keys/{prefix}").json()
    assert old["replaced_by"] == rotated.json()["prefix"]
    again = owner.call("post", f"keys/{prefix}/rotate", {})
    assert (again.status_code, again.json()["code"]) == (409, "key_state")
    assert owner.call("post", f"keys/{prefix}/revoke").json()["revoked_at"]
    assert owner.call("post", f"keys/{prefix}/revoke").status_code == 200
    done = AuditEntry.objects.filter(tenant_slug=owner.row.tenant.slug).exclude(actor_id="")
    assert sorted(done.values_list("action", flat=True)) == [
        *("key.create", "key.create", "key.revoke", "key.rotate")
    ]
    assert text not in str(list(done.values_list("detail", flat=True)))


def test_both_keys_are_good_until_the_overlap_ends(owner: Caller) -> None:
    made = keys.rotate_key(owner.row, overlap=timedelta(hours=1))
    assert owner.call("get", "keys").status_code == 200
    old, owner.text = owner.text, made.plaintext
    assert owner.call("get", "keys").status_code == 200
    APIKey.objects.filter(pk=owner.row.pk).update(expires_at=timezone.now())
    owner.text = old
    assert owner.call("get", "keys").status_code == 401


def test_of_another_tenants_key_nothing_can_be_told(owner: Caller, stranger: Caller) -> None:
    prefix = owner.row.prefix
    for method, path in (
        ("get", "keys/{}"),
        ("post", "keys/{}/rotate"),
        ("post", "keys/{}/revoke"),
    ):
        foreign = stranger.call(method, path.format(prefix))
        unknown = stranger.call(method, path.format("0000000000"))
        assert foreign.status_code == 404
        assert (foreign.content, foreign.headers) == (unknown.content, unknown.headers)
    assert prefix not in stranger.call("get", "keys").content.decode()
    owner.row.refresh_from_db()
    assert owner.row.revoked_at is None


def test_no_key_gives_more_than_it_has(make: Callable[..., Tenant]) -> None:
    tenant = make("held")
    ends = timezone.now() + timedelta(days=1)
    held = Caller(
        tenant,
        scopes=("queries:run", "manage"),
        expires_at=ends,
        queries=("a", "b"),
        parameters={"customer": 7},
        networks=("127.0.0.0/8",),
    )
    plain = {"name": "x", "scopes": ["queries:run"]}
    for more in (
        {"scopes": ["queries:sql"]},
        {"scopes": ["events:write"]},
        {"expires_at": (ends + timedelta(days=1)).isoformat()},
        {"queries": ["a", "c"]},
        {"parameters": {"customer": 8}},
        {"networks": ["0.0.0.0/0"]},
        {"networks": ["::/0"]},
    ):
        answer = held.call("post", "keys", plain | more)
        assert (answer.status_code, answer.json()["code"]) == (403, "rights_exceeded"), more
    made = held.call("post", "keys", plain | {"queries": ["a"], "networks": ["127.0.0.1"]}).json()
    assert made["parameters"] == {"customer": 7}
    assert made["networks"] == ["127.0.0.1/32"]
    inherited = held.call("post", "keys", plain).json()
    assert (inherited["queries"], inherited["networks"]) == (["a", "b"], ["127.0.0.0/8"])
    assert inherited["expires_at"]
    strong = Caller(tenant)
    answer = held.call("post", f"keys/{strong.row.prefix}/rotate")
    assert (answer.status_code, answer.json()["code"]) == (403, "rights_exceeded")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "x"},
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["admin"]},
        {"name": "x", "scopes": ["manage"], "queries": []},
        {"name": "x", "scopes": ["manage"], "query": ["a"]},
        {"name": "x", "scopes": ["manage"], "queries": ["a b"]},
        {"name": "x", "scopes": ["manage"], "token_seconds": 0},
        {"name": "x", "scopes": ["manage"], "token_seconds": "7"},
        {"name": "x\0", "scopes": ["manage"]},
        {"name": 7, "scopes": ["manage"]},
        [],
        7,
        None,
    ],
)
def test_what_is_no_key_is_refused_with_its_field(body: Any, owner: Caller) -> None:
    answer = owner.call("post", "keys", json.dumps(body))
    assert answer.status_code == 400, answer.content
    assert APIKey.objects.filter(tenant=owner.row.tenant).count() == 1


@pytest.mark.parametrize(
    ("address", "body", "code", "says"),
    [
        ("keys", '{"name": "x", "scopes": ["manage"], "querys": ["a"]}', "unknown_", "'queries'?"),
        ("keys", '{"name": "x", "scopes": ["manage"], "name": "y"}', "doubled_member", "'name'"),
        ("keys", '{"name": "x", "scopes": ["manage"], "x": {"a": 1, "a": 2}}', "doubled_", "'a'"),
        ("keys?dry=1", '{"name": "x", "scopes": ["manage"]}', "unknown_parameter", "'dry'"),
        ("keys/{}/rotate", '{"overlap": 7}', "unknown_member", "'overlap_seconds'?"),
        ("keys/{}/revoke", '{"overlap_seconds": 7}', "unknown_member", "takes no members"),
        ("keys/{}/revoke", "[]", "parameter_invalid", "a JSON object"),
        ("sql", '{"sql": "SELECT 1", "paramters": {}}', "unknown_member", "'parameters'?"),
        ("sql?formt=csv", '{"sql": "SELECT 1"}', "unknown_parameter", "'format'?"),
        ("keys/{}/revoke?at=noon", "{}", "unknown_parameter", "takes no parameters"),
    ],
)
def test_what_nobody_knows_is_refused_by_name_and_changes_nothing(
    address: str, body: str, code: str, says: str, owner: Caller
) -> None:
    answer = owner.call("post", address.format(owner.row.prefix), body)
    assert answer.status_code == 400, answer.content
    assert answer.json()["code"].startswith(code)
    assert says in answer.json()["detail"]
    (kept,) = APIKey.objects.filter(tenant=owner.row.tenant)
    assert kept.revoked_at is None


@pytest.mark.parametrize(
    "address",
    ["keys?lmit=1", "plan?x=1", "usage?form=2026-01-01", "audit?limit=1&limit=2", "queries?a=1"],
)
def test_a_query_string_is_read_as_strictly(address: str, owner: Caller) -> None:
    answer = owner.call("get", address)
    assert answer.status_code == 400, answer.content
    assert answer.json()["code"] in ("unknown_parameter", "doubled_parameter")


@pytest.mark.parametrize(
    "restriction",
    [
        {"networks": ["300.1.1.1"]},
        {"origins": ["example.com"]},
        {"origins": ["https://a.example/path"]},
        {"public_key": "nonsense"},
        {"parameters": {"a b": 1}},
        {"parameters": {"a": "\0"}},
        {"parameters": {"a": ["\ud800"]}},
        {"row_filters": {"nothing": "n = 1"}},
        {"row_filters": {"a\0": "n = 1"}},
        {"row_filters": {"*": "\0"}},
    ],
)
def test_a_restriction_that_can_not_be_is_refused_with_its_field(
    restriction: dict[str, Any], owner: Caller
) -> None:
    body = {"name": "x", "scopes": ["manage"], **restriction}
    answer = owner.call("post", "keys", json.dumps(body))
    assert answer.status_code == 422, answer.content
    assert list(answer.json()["errors"]) == list(restriction)
    assert APIKey.objects.filter(tenant=owner.row.tenant).count() == 1


@pytest.mark.parametrize(
    ("fixed", "code"),
    [('{"a": NaN}', "body_unreadable"), ('{"a": 1, "a": 2}', "doubled_member")],
)
def test_a_body_that_a_reader_would_change_is_refused(fixed: str, code: str, owner: Caller) -> None:
    body = f'{{"name": "x", "scopes": ["manage"], "parameters": {fixed}}}'
    answer = owner.call("post", "keys", body)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert APIKey.objects.filter(tenant=owner.row.tenant).count() == 1


def test_a_fixed_parameter_keeps_its_digits(owner: Caller) -> None:
    body = '{"name": "x", "scopes": ["manage"], "parameters": {"a": 9007199254740993.11, "b": 1.5}}'
    assert owner.call("post", "keys", body).status_code == 201
    held = APIKey.objects.get(tenant=owner.row.tenant, name="x").parameters
    assert held == {"a": "9007199254740993.11", "b": 1.5}


def test_only_a_managing_key_manages(make: Callable[..., Tenant]) -> None:
    plain = Caller(make("plain"), scopes=("queries:run",))
    for method, path in (("get", "keys"), ("post", "keys"), ("get", "keys/x")):
        answer = plain.call(method, path, {})
        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")


def test_networks_count_by_who_really_calls(make: Callable[..., Tenant], settings: Any) -> None:
    near = Caller(make("near"), networks=("203.0.113.0/24", "2001:db8::/32"))
    spoofed = {"X-Forwarded-For": "203.0.113.5"}
    answer = near.call("get", "keys", **spoofed)
    assert (answer.status_code, answer.json()["code"]) == (403, "network_not_allowed")
    settings.MILLRACE_TRUSTED_PROXIES = ["127.0.0.0/8", "10.0.0.0/8"]
    assert near.call("get", "keys", **spoofed).status_code == 200
    assert near.call("get", "keys").status_code == 403
    for chain, status in {
        "203.0.113.5, 10.1.1.1": 200,
        "198.51.100.9, 203.0.113.5, 10.1.1.1": 200,
        "203.0.113.5, 198.51.100.9": 403,
        "203.0.113.5, nonsense": 403,
        "203.0.113.5:80": 403,
        "2001:db8::7": 200,
        "::ffff:203.0.113.5": 200,
        "": 403,
    }.items():
        got = near.call("get", "keys", **{"X-Forwarded-For": chain}).status_code
        assert got == status, chain
    assert client_address({"REMOTE_ADDR": ""}) is None
    assert trusted_proxies() == []
    settings.MILLRACE_TRUSTED_PROXIES = ["proxy.example.com"]
    assert [one.id for one in trusted_proxies()] == ["millrace.E010"]


def test_origins_are_held_and_pages_may_read_answers(make: Callable[..., Tenant]) -> None:
    page = Caller(make("page"), origins=("https://Shop.Example.com",))
    assert page.row.origins == ["https://shop.example.com"]
    good = page.call("get", "keys", Origin="https://shop.example.com")
    assert good.status_code == 200
    assert good["Access-Control-Allow-Origin"] == "*"
    assert "RateLimit, " in good["Access-Control-Expose-Headers"]
    for origin in ("https://evil.example", "http://shop.example.com", "null", ""):
        bad = page.call("get", "keys", Origin=origin)
        assert (bad.status_code, bad.json()["code"]) == (403, "origin_not_allowed")
    assert page.call("get", "keys").status_code == 403
    asked = {"Origin": "https://x.example", "Access-Control-Request-Method": "POST"}
    before = Client().options("/api/v1/queries/a", headers=asked)
    assert (before.status_code, before.content) == (200, b"")
    assert before["Access-Control-Allow-Origin"] == "*"
    assert before["Access-Control-Allow-Methods"] == "GET, POST, DELETE"
    assert before["Access-Control-Max-Age"] == "7200"
    assert "Authorization" in before["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Credentials" not in before
    admin = Client().get("/admin/login/", headers={"Origin": "https://x.example"})
    assert "Access-Control-Allow-Origin" not in admin


def test_a_key_for_some_queries_hides_the_others_and_runs_no_sql(
    make: Callable[..., Tenant],
) -> None:
    some = Caller(make("some"), queries=("a",), sources=("s",))
    answer = some.call("post", "sql", {"sql": "SELECT 1"})
    assert (answer.status_code, answer.json()["code"]) == (403, "queries_only")
    for path in ("queries/a", "queries/b", "sources/s", "sources/t"):
        assert some.call("get", path).status_code == 404
    listed = some.call("get", "sources").json()
    assert listed["sources"] == []


def test_commands_make_list_rotate_and_revoke(make: Callable[..., Tenant]) -> None:
    tenant = make("shell")

    def run(*arguments: str) -> list[str]:
        out = io.StringIO()
        call_command("api_key", *arguments, stdout=out, stderr=io.StringIO())
        return out.getvalue().splitlines()

    text, secret = run(
        *("create", tenant.slug, "--scope=queries:run", "--query=a", "--parameter=customer=7"),
        *("--network=10.0.0.0/8", "--origin=https://a.example", "--signing"),
    )
    prefix = text.split("_")[1]
    key = APIKey.objects.get(prefix=prefix)
    assert (key.queries, key.parameters, key.networks) == (["a"], {"customer": 7}, ["10.0.0.0/8"])
    assert key.signing_secret == secret
    (token,) = run("token", prefix, "--query=a", "--subject=u", "--seconds=60")
    assert token.count(".") == 2
    assert prefix in run("list", tenant.slug)[0]
    newer = run("rotate", f"mr_{prefix}", "--overlap=60")[0]
    assert key_format.parse(newer)
    with pytest.raises(CommandError, match="was already rotated"):
        run("rotate", prefix)
    assert "was revoked" in run("revoke", prefix)[0]
    for wrong in (("revoke", "nobody"), ("list", "nobody"), ("create", tenant.slug, "--network=x")):
        with pytest.raises(CommandError):
            run(*wrong)


def test_restrictions_that_are_none_are_refused(make: Callable[..., Tenant]) -> None:
    for given in ({"networks": ("x",)}, {"origins": ("ftp://a",)}, {"queries": ("a b",)}):
        with pytest.raises(RightsRefused):
            keys.create_key(make("t"), "x", rights=Rights(**given))
