"""Signed tokens, attacked: none opens more than its key and its claims say."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tenants import rights
from tenants.models import APIKey, TenantStatus
from tenants.rest import authentication
from tenants.rights import Rights, RightsRefused
from tenants.services import keys
from tenants.tokens import verify
from tenants.tokens.issue import issue
from tenants.tokens.signing import read_public_key
from tests.analytics_api.conftest import (  # noqa: F401 - its cast
    Api,
    api_factory,
    shared_api,
    tenant_of_file,
)

WHO = "SELECT n, who FROM events WHERE who = {who:String} ORDER BY n"


@pytest.fixture
def api(shared_api: Api) -> Api:  # noqa: F811 - the fixture
    return shared_api


class Issuer:
    """A tenant's backend: a key with a secret or a key pair, tokens by it, and calls with them."""

    def __init__(self, cast: Api, *, pair: bool = False, **given: Any) -> None:
        self.cast = cast
        self.private = Ed25519PrivateKey.generate()
        self.public = self.private.public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )
        self.key, self.text, self.secret = keys.create_signing_key(
            cast.tenant,
            "browser",
            rights=rights.checked(Rights(**given), cast.tenant),
            by_secret=not pair,
            public_key=self.public.decode() if pair else "",
        )
        self.material = self.private if pair else self.secret
        self.algorithm = "EdDSA" if pair else "HS256"

    def claims(self, **claims: Any) -> dict[str, Any]:
        now = int(time.time())
        return {"iat": now, "exp": now + 600, "queries": ["who", "all"]} | claims

    def token(self, without: str = "", header: dict[str, Any] | None = None, **claims: Any) -> str:
        payload = self.claims(**claims)
        payload.pop(without, None)
        named = {"kid": self.key.prefix} if header is None else header
        return jwt.encode(payload, self.material, algorithm=self.algorithm, headers=named)

    def written(self, **claims: str) -> str:
        """A token of claims as JSON has them, to the letter."""
        now = int(time.time())
        said = {"iat": str(now), "exp": str(now + 600), "queries": '["who", "all", "exact"]'}
        payload = ", ".join(f'"{name}": {text}' for name, text in (said | claims).items())
        return jwt.PyJWS().encode(
            f"{{{payload}}}".encode(),
            self.material,
            algorithm=self.algorithm,
            headers={"kid": self.key.prefix},
        )

    def get(self, token: str, path: str = "/who?who=ann", **headers: str) -> Any:
        return self.cast.client.get(
            f"/api/v1/queries{path}", headers={"Authorization": f"Bearer {token}"} | headers
        )


@pytest.fixture
def cast(api: Api) -> Api:
    api.publish("who", WHO)
    api.publish("all", "SELECT n, who FROM events ORDER BY n")
    return api


@pytest.fixture(params=["HS256", "EdDSA"])
def issuer(request: Any, cast: Api) -> Issuer:
    return Issuer(cast, pair=request.param == "EdDSA")


@pytest.fixture(autouse=True)
def _nothing_remembered() -> None:
    authentication.forget()
    verify._kept.clear()


def test_a_token_runs_the_queries_that_it_names_and_nothing_else(issuer: Issuer) -> None:
    issuer.cast.publish("other", "SELECT 1")
    token = issuer.token(queries=["who"])
    assert [row["n"] for row in issuer.get(token).json()["data"]] == [1, 3]
    unnamed, unknown = issuer.get(token, "/other"), issuer.get(token, "/nowhere")
    assert unnamed.status_code == 404
    assert (unnamed.content, unnamed.headers) == (unknown.content, unknown.headers)
    listed = issuer.get(token, "").json()["queries"]
    assert [one["name"] for one in listed] == ["who"]
    events = issuer.cast.client.post(
        "/api/v1/events/x", b"{}", "application/json", headers={"Authorization": f"Bearer {token}"}
    )
    assert (events.status_code, events.json()["code"]) == (403, "scope_missing")


def test_a_tokens_parameters_are_fixed(issuer: Issuer) -> None:
    token = issuer.token(params={"who": "ann"})
    assert {row["who"] for row in issuer.get(token, "/who").json()["data"]} == {"ann"}
    given = issuer.get(token, "/who?who=bob")
    assert (given.status_code, given.json()["code"]) == (403, "parameter_fixed")
    posted = issuer.cast.client.post(
        "/api/v1/queries/who",
        {"who": "bob"},
        "application/json",
        headers={"Authorization": f"Bearer {token}"},
    )
    assert (posted.status_code, posted.json()["code"]) == (403, "parameter_fixed")
    assert issuer.get(token, "/all").json()["code"] == "parameter_not_held"
    (listed,) = issuer.get(token, "").json()["queries"]
    assert (listed["name"], listed["parameters"]) == ("who", [])


EXACT = "SELECT {price:Decimal(38, 2)} AS price, {ids:Array(Decimal(38, 2))} AS ids"


def test_a_tokens_numbers_keep_their_digits(issuer: Issuer) -> None:
    issuer.cast.publish("exact", EXACT)
    ids = '[9007199254740993.12, "1e2", 1e2]'
    token = issuer.written(params=f'{{"price": 9007199254740993.11, "ids": {ids}}}')
    answer = issuer.get(token, "/exact?format=csv")
    assert answer.content.decode().splitlines()[1:] == [
        '9007199254740993.11,"[9007199254740993.12,100,100]"'
    ]


def test_a_token_may_repeat_its_keys_number(cast: Api) -> None:
    cast.publish("exact", EXACT)
    fixed = {"price": 1.1, "ids": ["9007199254740993.12"]}
    held = Issuer(cast, parameters=fixed)
    same = held.written(params='{"price": 1.10, "ids": [9007199254740993.12]}')
    assert held.get(same, "/exact").status_code == 200
    for price in ("1.11", "1.1000000000000000000001"):
        other = held.get(held.written(params=f'{{"price": {price}}}'), "/exact")
        assert (other.status_code, other.json()["code"]) == (401, "token_claims")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("claim", ["exp", "iat", "nbf", "rate", "params"])
def test_a_token_with_a_number_beyond_all_bounds_costs_nothing(claim: str, issuer: Issuer) -> None:
    text = "1e999999999" if claim != "params" else '{"who": 1e999999999}'
    answer = issuer.get(issuer.written(**{claim: text}), "/who")
    assert answer.status_code in (400, 401), answer.content


def test_a_claim_that_stands_there_twice_opens_nothing(issuer: Issuer) -> None:
    twice = issuer.written(queries='["who"], "queries": ["all"]')
    answer = issuer.get(twice, "/all")
    assert (answer.status_code, answer.json()["code"]) == (401, "token_invalid")


def test_a_tokens_filter_is_added_to_its_keys(cast: Api) -> None:
    held = Issuer(cast, row_filters={"events": "n < 3"})
    assert held.get(held.token(), "/all").json()["rows"] == 2
    narrowed = held.token(filter="who = 'ann'")
    assert held.get(narrowed, "/all").json()["data"] == [{"n": 1, "who": "ann"}]
    opened = held.token(filter={"events": "1 OR n > 0"})
    assert held.get(opened, "/all").json()["rows"] == 2
    broken = held.get(held.token(filter="1) OR (1"), "/all")
    assert (broken.status_code, broken.json()["code"]) == (401, "token_claims")


def test_a_token_never_exceeds_its_key(cast: Api) -> None:
    held = Issuer(cast, queries=("who",), parameters={"who": "ann"}, origins=("https://a.example",))
    token = held.token(queries=["who", "all"])
    assert held.get(token, "/who").json()["code"] == "origin_not_allowed"
    page = {"Origin": "https://a.example"}
    assert held.get(token, "/who", **page).json()["rows"] == 2
    assert held.get(token, "/all", **page).status_code == 404
    assert held.get(token, "/who", Origin="https://b.example").status_code == 403
    other = held.get(held.token(params={"who": "bob"}), "/who", **page)
    assert (other.status_code, other.json()["code"]) == (401, "token_claims")
    sender = Issuer(cast, scopes=("events:write",))
    assert sender.get(sender.token()).json()["code"] == "scope_missing"
    near = Issuer(cast, networks=("192.0.2.0/24",))
    assert near.get(near.token()).json()["code"] == "network_not_allowed"


def test_a_missing_claim_denies(issuer: Issuer) -> None:
    for name in ("exp", "iat", "queries"):
        answer = issuer.get(issuer.token(without=name))
        assert (answer.status_code, answer.json()["code"]) == (401, "token_claims")
        assert name in answer.json()["detail"]


WRONG: list[dict[str, Any]] = [
    {"queries": []},
    {"queries": "who"},
    {"queries": [7]},
    {"queries": None},
    {"queries": ["*"]},
    {"params": None},
    {"params": []},
    {"params": {"a b": 1}},
    {"filter": None},
    {"filter": ""},
    {"filter": {}},
    {"filter": 1},
    {"filter": {"events": None}},
    {"filter": "n IN (SELECT 1)"},
    {"filters": "n = 1"},
    {"parameters": {"who": "ann"}},
    {"scopes": ["manage"]},
    {"tenant": "other"},
    {"rate": 0},
    {"rate": "100"},
    {"rate": True},
    {"aud": "another"},
    {"aud": ["another"]},
    {"sub": "x" * 300},
    {"exp": 32503680000},
    {"exp": float("inf")},
    {"exp": float("nan")},
    {"exp": "9999999999"},
    {"exp": True},
    {"iat": time.time() + 3600, "exp": time.time() + 7200},
    {"nbf": time.time() + 3600},
    {"iss": "0000000000"},
    {"exp": 0},
]


def test_a_claim_that_is_not_of_its_form_denies(cast: Api) -> None:
    issuer = Issuer(cast)
    assert issuer.get(issuer.token()).status_code == 200
    passed = [one for one in WRONG if issuer.get(issuer.token(**one)).status_code != 401]
    assert passed == []


def test_the_right_audience_subject_and_issuer_pass(issuer: Issuer) -> None:
    claims = {"aud": ["millrace", "x"], "sub": "user-7", "jti": "1", "nbf": int(time.time())}
    token = issuer.token(rate=30, iss=issuer.key.prefix, **claims)
    assert issuer.get(token).status_code == 200
    caller = verify.find(token)
    assert (caller.rate, caller.subject) == (30, "user-7")
    by_issuer = issuer.token(header={}, iss=issuer.key.prefix)
    assert issuer.get(by_issuer).status_code == 200


def test_an_expired_token_falls_back_to_nothing(issuer: Issuer, monkeypatch: Any) -> None:
    token = issuer.token()
    assert issuer.get(token).status_code == 200
    now = time.time()
    monkeypatch.setattr("tenants.tokens.verify.time.time", lambda: now + 601)
    answer = issuer.get(token)
    assert (answer.status_code, answer.json()["code"]) == (401, "token_expired")
    assert "data" not in answer.json()
    past = issuer.get(issuer.token(iat=int(now) - 700, exp=int(now) - 100))
    assert (past.status_code, past.json()["code"]) == (401, "token_expired")


def _part(document: Any) -> str:
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def _forged(header: dict[str, Any], payload: dict[str, Any], secret: bytes | None) -> str:
    body = f"{_part(header)}.{_part(payload)}"
    if secret is None:
        return f"{body}."
    return f"{body}.{_part(hmac.new(secret, body.encode(), hashlib.sha256).digest())}"


def _forgeries(issuer: Issuer, other: Issuer) -> dict[str, str]:
    """Tokens that an attacker could make who knows the key's prefix and its public key."""
    kid, claims = issuer.key.prefix, issuer.claims()
    jwk = {"kty": "oct", "k": _part(b"mine")}
    raw = issuer.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    good = issuer.token()
    head, body, signature = good.split(".")
    found = {
        f"alg {alg!r}": _forged({"alg": alg, "kid": kid}, claims, None)
        for alg in ("none", "None", "NONE", "nOnE", "", None, "HS256", "EdDSA", ["HS256"])
    }
    for name, secret in {
        "PEM": issuer.public,
        "PEM stripped": issuer.public.strip(),
        "raw": raw,
        "empty": b"",
        "prefix": kid.encode(),
        "another key's": other.secret.encode(),
        "hash": bytes(issuer.key.sha256),
    }.items():
        for alg in ("HS256", "hs256", "HS384", "EdDSA"):
            found[f"{alg} by {name}"] = _forged({"alg": alg, "kid": kid}, claims, secret)
    for name, extra in {
        "jwk": {"jwk": jwk},
        "jku": {"jku": "https://evil.example/jwks.json"},
        "x5u": {"x5u": "https://evil.example/cert"},
        "x5c": {"x5c": ["AAAA"]},
        "crit": {"crit": ["exp"]},
        "b64": {"b64": False},
        "typ": {"typ": "at+jwt"},
    }.items():
        found[f"header {name}"] = _forged({"alg": "HS256", "kid": kid} | extra, claims, b"mine")
        found[f"signed, header {name}"] = issuer.token(header={"kid": kid} | extra)
    for injected in ("../../dev/null", "' OR 1=1 --", f"{kid}\n", f"{kid}\x00", "", None, 7, [kid]):
        header = {"alg": issuer.algorithm, "kid": injected}
        found[f"kid {injected!r}"] = _forged(header, claims, b"")
    found["kid of another"] = other.token(header={"kid": kid})
    found["signature cut"] = f"{head}.{body}.{signature[:-8]}"
    found["signature swapped"] = f"{head}.{body}.{other.token().split('.')[2]}"
    found["body swapped"] = f"{head}.{_part(claims | {'queries': ['all']})}.{signature}"
    found["header swapped"] = f"{_part({'alg': 'none', 'kid': kid})}.{body}.{signature}"
    found["body no object"] = _forged({"alg": "HS256", "kid": kid}, [1], b"x")  # type: ignore[arg-type]
    found["long"] = f"{head}.{body}{'A' * 9000}.{signature}"
    found["deep"] = f"{_part(b'[' * 3000)}.{body}.{signature}"
    found["empty"] = ".."
    found["four parts"] = f"{good}.{signature}"
    found["nul"] = f"{head}.{body}.\x00"
    return found


@pytest.mark.security
def test_no_forged_token_opens_anything(issuer: Issuer, api_factory: Any) -> None:  # noqa: F811
    other = Issuer(api_factory("other"))
    assert issuer.get(issuer.token()).status_code == 200
    tried = _forgeries(issuer, other)
    assert len(tried) > 60
    leaked = {name for name, token in tried.items() if issuer.get(token).status_code != 401}
    assert leaked == set()


@pytest.mark.security
def test_every_changed_character_of_a_token_is_noticed(issuer: Issuer) -> None:
    token = issuer.token()
    assert verify.find(token)
    ends = {len(part) for part in (token.split(".")[0], token.rpartition(".")[0], token)}
    for at in range(0, len(token), 3):
        # A part's last character may hold bits that mean nothing.
        if at + 1 not in ends:
            changed = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
            with pytest.raises(verify.TokenRefused):
                verify.find(changed)


def test_revoking_the_key_ends_its_tokens_and_suspending_the_tenant_answers_403(
    issuer: Issuer,
) -> None:
    token = issuer.token()
    assert issuer.get(token).status_code == 200
    issuer.cast.tenant.status = TenantStatus.SUSPENDED
    issuer.cast.tenant.save()
    authentication.forget()
    answer = issuer.get(token)
    assert (answer.status_code, answer.json()["code"]) == (403, "tenant_suspended")
    keys.revoke_key(issuer.key)
    authentication.forget()
    assert issuer.get(token).status_code == 401


def test_a_tokens_key_that_was_rotated_ends_with_its_overlap(issuer: Issuer) -> None:
    token = issuer.token()
    made = keys.rotate_key(issuer.key, overlap=keys.timedelta(0))
    authentication.forget()
    assert issuer.get(token).status_code == 401
    assert made.key.algorithm == issuer.algorithm
    assert bool(made.signing_secret) == (issuer.algorithm == "HS256")
    if made.signing_secret:
        assert made.signing_secret != issuer.secret
        assert issuer.get(issue(made.key, 60, {"queries": ["who"]})).status_code == 200


def test_a_key_without_signatures_takes_no_token(cast: Api) -> None:
    row, _ = keys.create_key(cast.tenant, "plain")
    token = _forged({"alg": "HS256", "kid": row.prefix}, Issuer(cast).claims(), b"")
    answer = cast.client.get("/api/v1/queries", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401


def test_the_secret_is_encrypted_at_rest_and_of_a_pair_only_the_public_half_is_kept(
    cast: Api,
) -> None:
    from django.db import connection

    issuer, pair = Issuer(cast), Issuer(cast, pair=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(to_jsonb(k)::text, ' ') FROM tenants_apikey k")
        stored = cursor.fetchone()[0]
    assert issuer.secret not in stored
    assert pair.public.decode().splitlines()[1] in stored
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": _part(pair.private.public_key().public_bytes_raw())}
    assert read_public_key(json.dumps(jwk)) == pair.public.decode()
    for wrong in (
        json.dumps(jwk | {"d": _part(pair.private.private_bytes_raw())}),
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
        "",
        "{}",
        "[]",
        "ä",
    ):
        with pytest.raises(RightsRefused, match="Ed25519 public key"):
            read_public_key(wrong)
    assert APIKey.objects.filter(pk=pair.key.pk, public_key="").count() == 0
