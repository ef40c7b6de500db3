"""Request and response bodies of the operators' API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework import serializers

from tenants.models import Plan, Tenant
from tenants.rest.body import BodySerializer
from tenants.rest.fields import Flag, Text, Whole

if TYPE_CHECKING:
    _Serializer = serializers.Serializer[Any]
    _ModelSerializer = serializers.ModelSerializer[Tenant]
else:
    _Serializer = serializers.Serializer
    _ModelSerializer = serializers.ModelSerializer


class TenantSerializer(_ModelSerializer):
    plan = serializers.SlugRelatedField[Plan](slug_field="name", read_only=True, allow_null=True)

    class Meta:
        model = Tenant
        fields = ("slug", "name", "status", "plan", "weight", "created_at")


class TenantsSerializer(_Serializer):
    tenants = TenantSerializer(many=True)


class MakeSerializer(BodySerializer):
    slug = Text(min_length=1, max_length=40)
    name = Text(max_length=200, allow_blank=True, default="")
    weight = Whole(min_value=1, max_value=100, default=1)


class LimitSerializer(BodySerializer):
    name = Text(min_length=1, max_length=200, required=False)
    weight = Whole(min_value=1, max_value=100, required=False)
    plan = Text(max_length=100, allow_blank=True, required=False)


class EmptiedSerializer(_Serializer):
    store = serializers.CharField()
    before = serializers.DictField(child=serializers.IntegerField())
    after = serializers.DictField(child=serializers.IntegerField())
    left = serializers.ListField(child=serializers.CharField())


class DeletionSerializer(_Serializer):
    tenant = serializers.CharField(source="slug")
    deleted = serializers.BooleanField(source="done")
    stores = EmptiedSerializer(many=True)
    exports = serializers.ListField(child=serializers.CharField())


class ErasureRequestSerializer(BodySerializer):
    column = Text(min_length=1, max_length=200)
    value = Text(min_length=1, max_length=10_000)
    table = Text(max_length=63, allow_blank=True, default="")
    preview = Flag(default=True)


class ErasedSerializer(_Serializer):
    table = serializers.CharField()
    kind = serializers.CharField(help_text="`table`, `quarantine` or `rollup`.")
    before = serializers.IntegerField(allow_null=True)
    after = serializers.IntegerField(allow_null=True)
    advice = serializers.CharField(allow_blank=True)


class ErasureSerializer(_Serializer):
    column = serializers.CharField()
    erased = serializers.BooleanField()
    rows = serializers.IntegerField()
    places = ErasedSerializer(many=True)
    remarks = serializers.ListField(child=serializers.CharField())


class ExportSerializer(_Serializer):
    folder = serializers.CharField()


class ExportsSerializer(_Serializer):
    exports = ExportSerializer(many=True)


class QueuedSerializer(_Serializer):
    queued = serializers.BooleanField()
