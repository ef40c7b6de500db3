"""``/api/v1/keys``: a tenant's API keys, for callers with the scope ``manage``."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta

from django.core.validators import RegexValidator
from django.http import HttpResponse, JsonResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request

from tenants import rights
from tenants.models import APIKey, Scope
from tenants.models.key import MAX_TOKEN_SECONDS, TOKEN_SECONDS
from tenants.rest.authentication import Caller
from tenants.rest.body import BodySerializer, read, read_nothing
from tenants.rest.endpoint import Endpoint
from tenants.rest.fields import Text, Whole
from tenants.rest.problem import Problem, not_found
from tenants.rights import Rights, RightsExceeded, RightsRefused
from tenants.services import keys

PROBLEM = "application/problem+json"
MAX_OVERLAP = 90 * 24 * 3600
_KNOWN = {
    (401, PROBLEM): OpenApiResponse(OpenApiTypes.OBJECT, "The key is missing or not valid."),
    (403, PROBLEM): OpenApiResponse(
        OpenApiTypes.OBJECT, "The key has no scope `manage`, or would grant more than it has."
    ),
}
_INPUT = {(400, PROBLEM): OpenApiResponse(OpenApiTypes.OBJECT, "`errors` says what is wrong.")}
_RIGHTS = {
    (422, PROBLEM): OpenApiResponse(
        OpenApiTypes.OBJECT, "A network, origin, filter or public key is not valid; see `errors`."
    )
}
_NO_NUL = RegexValidator(r"^[^\x00]+$", "Send text without NUL characters.")
_NAME = RegexValidator(r"^[A-Za-z_][A-Za-z0-9_.\-]{0,62}$", "This is not a valid name.")
_ONE = {
    (404, PROBLEM): OpenApiResponse(OpenApiTypes.OBJECT, "The tenant has no such key."),
    (409, PROBLEM): OpenApiResponse(
        OpenApiTypes.OBJECT, "The key has ended, or was already rotated."
    ),
}


def _names(help_text: str, *validators: RegexValidator) -> serializers.ListField:
    return serializers.ListField(
        child=Text(min_length=1, max_length=200, validators=list(validators)),
        min_length=1,
        allow_null=True,
        required=False,
        max_length=1_000,
        help_text=help_text,
    )


class RightsSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """The rights of a key."""

    scopes = serializers.ListField(child=serializers.ChoiceField(Scope.choices), min_length=1)
    expires_at = serializers.DateTimeField(required=False, allow_null=True)
    queries = _names("Only these saved queries.", _NAME)
    sources = _names("Only these sources.", _NAME)
    parameters = serializers.DictField(
        required=False, help_text="Query parameters that the key sets and callers can't change."
    )
    row_filters = serializers.DictField(
        child=Text(min_length=1),
        required=False,
        help_text="SQL conditions by table; `*` stands for every table with the columns.",
    )
    networks = _names("Only from these addresses or networks.")
    origins = _names("Only from web pages of these origins.")


class NewKeySerializer(BodySerializer, RightsSerializer):
    """A request for a new key."""

    name = Text(min_length=1, max_length=100, validators=[_NO_NUL])
    signing = serializers.ChoiceField(["", "HS256"], required=False)
    public_key = Text(required=False, min_length=1, max_length=4_000)
    token_seconds = Whole(min_value=1, max_value=MAX_TOKEN_SECONDS, required=False)


class KeySerializer(RightsSerializer):
    """A key, without its text."""

    prefix = serializers.CharField()
    name = serializers.CharField()
    algorithm = serializers.CharField(help_text="HS256, EdDSA, or empty if it signs no tokens.")
    token_seconds = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    last_used_at = serializers.DateTimeField(allow_null=True)
    revoked_at = serializers.DateTimeField(allow_null=True)
    replaced_by = serializers.SerializerMethodField()

    def get_replaced_by(self, key: APIKey) -> str | None:
        return key.replaced_by.prefix if key.replaced_by else None


class MadeSerializer(KeySerializer):
    """A new key. Its texts are shown only here."""

    key = serializers.CharField()
    signing_secret = serializers.CharField(required=False)


class KeysSerializer(serializers.Serializer):  # type: ignore[type-arg]
    keys = KeySerializer(many=True)


class RotationSerializer(BodySerializer):
    overlap_seconds = Whole(
        min_value=0, max_value=MAX_OVERLAP, default=int(keys.OVERLAP.total_seconds())
    )


class KeysView(Endpoint):
    """The tenant's keys."""

    scope = Scope.MANAGE

    @extend_schema(
        operation_id="list_keys",
        summary="List the API keys",
        responses={200: KeysSerializer, **_KNOWN},
    )
    def get(self, request: Request) -> HttpResponse:
        rows = APIKey.objects.filter(tenant=self.caller(request).tenant_id)
        return JsonResponse(KeysSerializer({"keys": rows.select_related("replaced_by")}).data)

    @extend_schema(
        operation_id="create_key",
        summary="Create an API key with at most the rights of the calling key",
        description="Restrictions that are left out are inherited from the calling key.",
        request=NewKeySerializer,
        responses={201: MadeSerializer, **_INPUT, **_RIGHTS, **_KNOWN},
    )
    def post(self, request: Request) -> HttpResponse:
        body = read(NewKeySerializer, request)
        own = APIKey.across_tenants.select_related("tenant").get(pk=self.caller(request).key_id)
        named = {right.name: body[right.name] for right in fields(Rights) if right.name in body}
        requested = rights.of_columns({k: v for k, v in named.items() if v is not None})
        try:
            granted = rights.narrowed(rights.checked(requested, own.tenant), rights.of(own))
            row, text, secret = keys.create_signing_key(
                own.tenant,
                body["name"],
                rights=granted,
                by_secret=body.get("signing") == "HS256",
                public_key=body.get("public_key", ""),
                token_seconds=min(body.get("token_seconds", TOKEN_SECONDS), MAX_TOKEN_SECONDS),
            )
        except RightsRefused as error:
            raise _refused(error) from None
        return _new_key(row, text, secret, 201)


class KeyView(Endpoint):
    """One key, identified by its prefix."""

    scope = Scope.MANAGE

    @extend_schema(
        operation_id="get_key",
        summary="Show the rights of an API key and when it was last used",
        responses={200: KeySerializer, **_KNOWN, **_ONE},
    )
    def get(self, request: Request, prefix: str) -> HttpResponse:
        return JsonResponse(KeySerializer(_own(self.caller(request), prefix)).data)


class RotateView(Endpoint):
    """``POST``: create a successor; the key stays valid for the overlap."""

    scope = Scope.MANAGE

    @extend_schema(
        operation_id="rotate_key",
        summary="Rotate an API key: create a successor; this key ends after the overlap",
        request=RotationSerializer,
        responses={201: MadeSerializer, **_INPUT, **_KNOWN, **_ONE},
    )
    def post(self, request: Request, prefix: str) -> HttpResponse:
        key = _own(self.caller(request), prefix)
        overlap = timedelta(seconds=read(RotationSerializer, request)["overlap_seconds"])
        own = APIKey.across_tenants.get(pk=self.caller(request).key_id)
        try:
            # The caller sees the successor's text, so it must not have more rights than the caller.
            granted = rights.narrowed(rights.of(key), rights.of(own))
            rotated = keys.rotate_key(key, overlap=overlap, rights=granted)
        except RightsExceeded as error:
            raise _refused(error) from None
        except keys.KeyStateRefused as error:
            raise Problem(409, "key_state", str(error)) from None
        return _new_key(rotated.key, rotated.plaintext, rotated.signing_secret, 201)


class RevokeView(Endpoint):
    """``POST``: refuse the key from now on. Repeating the call changes nothing."""

    scope = Scope.MANAGE

    @extend_schema(
        operation_id="revoke_key",
        summary="Revoke an API key and its tokens; they are refused within a second",
        request=None,
        responses={200: KeySerializer, **_KNOWN, **_ONE},
    )
    def post(self, request: Request, prefix: str) -> HttpResponse:
        read_nothing(request)
        key = _own(self.caller(request), prefix)
        keys.revoke_key(key)
        return JsonResponse(KeySerializer(key).data)


def _own(caller: Caller, prefix: str) -> APIKey:
    rows = APIKey.objects.select_related("replaced_by", "tenant")
    key = rows.filter(tenant=caller.tenant_id, prefix=prefix).first()
    if key is None:
        raise not_found("No API key has this prefix. GET /api/v1/keys lists all keys.")
    return key


def _new_key(key: APIKey, text: str, secret: str, status: int) -> HttpResponse:
    document = {**KeySerializer(key).data, "key": text}
    if secret:
        document["signing_secret"] = secret
    return JsonResponse(document, status=status, headers={"Cache-Control": "no-store"})


def _refused(error: RightsRefused) -> Problem:
    errors = {error.field: [error.message]}
    if isinstance(error, RightsExceeded):
        return Problem(403, "rights_exceeded", error.message, errors=errors)
    return Problem(422, "rights_refused", error.message, errors=errors)
