"""The API: what one tenant's key, or none, gets of another's by whatever it sends."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from analytics_api.selectors import published
from ingestion.models import Connection, Source
from ingestion.models.spool import SpooledEvents
from tenants import key_format
from tenants.models import Scope, TenantStatus
from tenants.services import keys
from tenants.warehouse import client as warehouse
from tests.security import attacks
from tests.security.attacks import Attack
from tests.security.cast import CANARY
from tests.security.tally import Tally

pytestmark = pytest.mark.security


class Cast:
    """Two tenants with the same names; what is the other's bears the canary."""

    def __init__(self, mine: Any, other: Any) -> None:
        self.mine, self.other = mine, other
        self.client = Client(raise_request_exception=False)
        everything = [str(one) for one in Scope]
        self.keys = {
            who.tenant.slug: keys.create_key(who.tenant, "all", scopes=everything)[1]
            for who in (mine, other)
        }
        for who, source in ((mine, "inlet"), (other, "stream")):
            who.publish("shared", "SELECT max(who) AS who FROM events")
            who.publish("above", "SELECT who FROM events WHERE n > {least:UInt32}")
            table = who.tenant.tables.get(name="events")
            Source.objects.create(tenant=who.tenant, name=source, table=table)
        on = Connection.objects.create(
            tenant=other.tenant, name="wire", kind="kafka", addresses=f"{CANARY}:9092"
        )
        Source.objects.create(
            tenant=other.tenant,
            name=f"{CANARY}_topic",
            connection=on,
            stream=CANARY,
            table=other.tenant.tables.get(name="events"),
        )
        mine.publish("own", "SELECT n FROM events")
        other.publish("secret", f"SELECT who, '{CANARY}' AS c FROM events", description=CANARY)
        database = other.tenant.warehouse.database
        warehouse.execute([f"INSERT INTO {database}.events (n, who) VALUES (9, '{CANARY}')"])
        published.forget()

    @property
    def key(self) -> str:
        return self.keys[self.mine.tenant.slug]

    @property
    def other_key(self) -> str:
        return self.keys[self.other.tenant.slug]

    def filled(self, text: str) -> str:
        """An attack's text with the names of this cast."""
        names = {
            "other": self.other.tenant.slug,
            "other_database": self.other.tenant.warehouse.database,
            "other_id": str(self.other.tenant.pk),
            "other_key": self.other_key,
            "other_prefix": self.other_key.split("_")[1],
            "digits": "9" * 5_000,
            "nested": "[" * 50_000,
        }
        for name, value in names.items():
            text = text.replace("{" + name + "}", value)
        return text

    def leak(self, attack: Attack, answer: HttpResponse) -> str:
        """What of the other's an answer shows, or that it broke us; '' for neither."""
        body = b"".join(answer.streaming_content) if answer.streaming else answer.content
        shown = body.decode("utf-8", "replace") + str(dict(answer.items()))
        assert answer.status_code != 429, "a limit stands before the wall"
        if answer.status_code >= 500:
            return f"an error of ours ({answer.status_code})"
        if CANARY in shown or "root:x" in shown or "Traceback" in shown:
            return "what is the other's, or the machine's"
        if self.other_key in shown or self.other.tenant.warehouse.password in shown:
            return "a secret"
        # What was sent may be sent back.
        if "{other" not in attack.text and self.other.tenant.slug in shown:
            return "the other's name"
        if "Injected" in answer.headers:
            return "a header of the attack's own"
        return ""

    def state(self) -> tuple[Any, ...]:
        """All of the other's that no attack may change."""
        database = self.other.tenant.warehouse.database
        return (
            warehouse.rows(f"SELECT count() AS c, sum(n) AS s FROM {database}.events"),
            list(
                Source.objects.filter(tenant=self.other.tenant).values(
                    "active", "archived_at", "error"
                )
            ),
            self.other.tenant.tables.count(),
            Connection.objects.filter(tenant=self.other.tenant).count(),
            SpooledEvents.objects.filter(partition__source__tenant=self.other.tenant).count(),
            self.other.tenant.saved_queries.count(),
        )


@pytest.fixture
def cast(server: str, api_factory: Callable[..., Any]) -> Iterator[Cast]:
    made = Cast(api_factory("mine"), api_factory("other"))
    before = made.state()
    yield made
    assert made.state() == before


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def _header(cast: Cast, attack: Attack) -> Iterator[HttpResponse]:
    name, _, value = cast.filled(attack.text).partition(": ")
    for path in ("/api/v1/queries", "/api/v1/queries/secret", "/api/v1/queries/own"):
        yield cast.client.get(path, headers={**_bearer(cast.key), name: value})


def _path(cast: Cast, attack: Attack) -> Iterator[HttpResponse]:
    method, _, address = cast.filled(attack.text).partition(" ")
    yield cast.client.generic(method, address, headers=_bearer(cast.key))


def _body(cast: Cast, attack: Attack) -> Iterator[HttpResponse]:
    address, kind, body = cast.filled(attack.text).split(" | ", 2)
    yield cast.client.generic(
        "POST", address, body.encode("latin-1", "replace"), kind, headers=_bearer(cast.key)
    )


def _cached(cast: Cast, attack: Attack) -> Iterator[HttpResponse]:
    for call in attack.text.split(" ; "):
        who, _, address = call.partition(" ")
        key = {"mine": cast.key, "other": cast.other_key}.get(who, "")
        answer = cast.client.get(address, headers=_bearer(key) if key else {})
        if who == "other":
            assert answer.status_code == 200, call
        else:
            yield answer


_KINDS: dict[str, Callable[[Cast, Attack], Iterator[HttpResponse]]] = {
    "headers": _header,
    "paths": _path,
    "bodies": _body,
    "cache": _cached,
}


def _attack(kind: str, cast: Cast, tally: Tally) -> None:
    for attack in attacks.of(kind):
        found = [cast.leak(attack, answer) for answer in _KINDS[kind](cast, attack)]
        assert found
        tally.note("api", attack, next((one for one in found if one), ""))


@pytest.mark.parametrize("kind", _KINDS)
def test_a_key_gets_nothing_of_anothers(kind: str, cast: Cast, tally: Tally) -> None:
    _attack(kind, cast, tally)
    assert not tally.at("api", kind)


def _of_no_tenant(monkeypatch: pytest.MonkeyPatch) -> None:
    from analytics_api.models import SavedQuery

    def look_up(_: int, name: str) -> Any:
        rows = SavedQuery.objects.filter(name=name).exclude(published=None)
        return next(iter(published._load(rows.select_related("published"))), None)

    monkeypatch.setattr(published, "_look_up", look_up)


def _by_name_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    get = published._recent.get
    monkeypatch.setattr(published._recent, "get", lambda key, look_up: get((0, key[1]), look_up))


@pytest.mark.parametrize(
    ("take_down", "kind"), [(_of_no_tenant, "paths"), (_by_name_alone, "cache")]
)
def test_a_tenant_left_out_of_a_look_up_or_a_cache_key_is_seen(
    take_down: Callable[[pytest.MonkeyPatch], None],
    kind: str,
    cast: Cast,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    take_down(monkeypatch)
    own = Tally()
    _attack(kind, cast, own)
    published.forget()
    assert own.leaks


# --- Keys -------------------------------------------------------------------------------------


def _tokens(cast: Cast) -> dict[str, str]:
    """The keys that the attacks are made of; the other's own have a right to nothing here."""
    other = cast.other.tenant
    revoked_row, revoked = keys.create_key(other, "revoked")
    keys.revoke_key(revoked_row)
    past = timezone.now() - timedelta(minutes=1)
    expired = keys.create_key(other, "expired", expires_at=past)[1]
    good = keys.create_key(other, "good")[1]
    prefix, secret, check = good.split("_")[1:]
    mine = cast.key.split("_")
    return {
        "mine": cast.key,
        "other": good,
        "other_prefix": prefix,
        "other_upper": good.upper(),
        "other_changed": good[:-1] + ("0" if good[-1] != "0" else "1"),
        "other_cut": good[:-7],
        "other_hash": hashlib.sha256(good.encode()).hexdigest(),
        "mixed": f"mr_{prefix}_{mine[2]}_{check}",
        "unknown": key_format.generate().plaintext,
        "long": "mr_" + secret * 30_000,
        "revoked": revoked,
        "expired": expired,
    }


def test_no_token_but_a_good_key_opens_anything(cast: Cast, tally: Tally) -> None:
    known = _tokens(cast)
    # Its key is tried while another tenant of the same data is suspended.
    suspended = keys.create_key(cast.other.tenant, "suspended")[1]
    for attack in attacks.of("tokens"):
        text = attack.text.replace("{suspended}", suspended)
        for name, value in known.items():
            text = text.replace("{" + name + "}", value)
        status = TenantStatus.SUSPENDED if "suspended" in attack.what else TenantStatus.ACTIVE
        type(cast.other.tenant).objects.filter(pk=cast.other.tenant.pk).update(status=status)
        for path in ("/api/v1/queries/secret", "/api/v1/queries", "/api/v1/sources"):
            answer = cast.client.get(path, headers={"Authorization": text})
            leaked = cast.leak(attack, answer)
            if answer.status_code not in (401, 403):
                leaked = leaked or f"an answer ({answer.status_code})"
            if leaked:
                break
        tally.note("keys", attack, leaked)
    type(cast.other.tenant).objects.filter(pk=cast.other.tenant.pk).update(
        status=TenantStatus.ACTIVE
    )
    assert not tally.at("keys")


def test_an_expiry_that_nobody_looks_at_is_seen(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tenants.models import APIKey

    monkeypatch.setattr(APIKey, "is_usable", lambda *_: True)
    expired = keys.create_key(
        cast.other.tenant, "long ago", expires_at=timezone.now() + timedelta(seconds=3600)
    )[1]
    answer = cast.client.get("/api/v1/queries/secret", headers=_bearer(expired))
    assert CANARY in answer.content.decode()


# --- Parameters -------------------------------------------------------------------------------


def test_a_parameter_is_a_value_and_never_sql(cast: Cast, tally: Tally) -> None:
    queries: dict[str, str] = {}
    for attack in attacks.of("parameters"):
        kind, _, value = attack.text.partition(" | ")
        if kind not in queries:
            queries[kind] = f"with_{len(queries)}"
            sql = f"SELECT n FROM events WHERE who = toString({{v:{kind}}})"
            cast.mine.publish(queries[kind], sql)
            published.forget()
        path = f"/api/v1/queries/{queries[kind]}"
        given = cast.filled(value)
        headers = _bearer(cast.key)
        answers = [
            cast.client.get(path, {"v": given}, headers=headers),
            cast.client.post(
                path, json.dumps({"v": given}), content_type="application/json", headers=headers
            ),
        ]
        leaked = ""
        for answer in answers:
            leaked = leaked or cast.leak(attack, answer)
            if answer.status_code == 200 and answer.json()["data"]:
                leaked = leaked or "rows"
        tally.note("parameters", attack, leaked)
    assert not tally.at("parameters")


def test_a_parameter_that_is_a_name_is_one_of_its_list(cast: Cast, tally: Tally) -> None:
    described = {"v": {"allowed": ["n"]}}
    cast.mine.publish("by_name", "SELECT {v:Identifier} AS x FROM events", parameters=described)
    published.forget()
    for attack in attacks.of("parameters"):
        given = cast.filled(attack.text.partition(" | ")[2])
        body = {"sql": "SELECT {v:Identifier} AS x FROM events", "parameters": {"v": given}}
        calls = [("/api/v1/queries/by_name", {"v": given}), ("/api/v1/sql", body)]
        leaked = ""
        for path, sent in calls:
            answer = cast.client.post(
                path, json.dumps(sent), content_type="application/json", headers=_bearer(cast.key)
            )
            leaked = leaked or cast.leak(attack, answer)
            leaked = leaked or ("rows" if answer.status_code == 200 else "")
        tally.note("names", attack, leaked)
    assert not tally.at("names")
