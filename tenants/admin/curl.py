"""The curl command that the page of a new key shows to try it."""

from __future__ import annotations

import shlex

from tenants.models import APIKey, Scope

_JSON = "-H 'Content-Type: application/json'"


def line(key: APIKey, plaintext: str, api: str) -> str:
    """A call that the key's scopes allow and that changes nothing; '' if there is no such call."""
    origin = f" -H {shlex.quote('Origin: ' + key.origins[0])}" if key.origins else ""
    head = f"curl -sS -H 'Authorization: Bearer {plaintext}'{origin}"
    if Scope.QUERIES_RUN in key.scopes:
        return f"{head} {api}queries"
    if Scope.MANAGE in key.scopes:
        return f"{head} {api}sources"
    if Scope.QUERIES_SQL in key.scopes and key.queries is None:
        return f'{head} {_JSON} -d \'{{"sql": "SELECT 1"}}\' {api}sql'
    return ""
