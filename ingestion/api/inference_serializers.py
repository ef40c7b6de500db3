"""Serializers of a request for a proposal, and of the proposal."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from tenants.rest.body import BodySerializer
from tenants.rest.fields import Text
from tenants.rest.problem import Problem

#: The most characters of a sample in a request; a larger file is for the command.
_SAMPLE = 4_000_000


class InferRequestSerializer(BodySerializer):
    sample = Text(
        max_length=_SAMPLE,
        allow_blank=True,
        default="",
        help_text="Messages: one JSON object a line, a JSON array, or CSV with a header.",
    )
    source = Text(  # type: ignore[assignment]
        max_length=63,
        allow_blank=True,
        default="",
        help_text="Or the source whose stream is read, without acknowledging anything.",
    )
    stream = Text(
        max_length=249,
        allow_blank=True,
        default="",
        help_text="Or the topic or queue on `connection`.",
    )
    connection = Text(
        max_length=63,
        allow_blank=True,
        default="",
        help_text="A connection of the tenant's own.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if sum(bool(attrs[name]) for name in ("sample", "source", "connection")) != 1:
            msg = "Send one of sample, source, and connection with stream."
            raise Problem(422, "nothing_to_infer", msg)
        if bool(attrs["connection"]) != bool(attrs["stream"]):
            raise Problem(422, "nothing_to_infer", "connection and stream go together.")
        return attrs


class EvidenceSerializer(serializers.Serializer[Any]):
    present = serializers.IntegerField(help_text="Messages that have the field, null or not.")
    nulls = serializers.IntegerField(help_text="Messages in which it is null.")
    distinct = serializers.IntegerField(help_text="Distinct values.")
    smallest = serializers.CharField(help_text="As JSON, cut; empty without an order.")
    largest = serializers.CharField()
    examples = serializers.ListField(child=serializers.CharField(), help_text="As JSON, cut.")


class ProposedColumnSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    type = serializers.CharField()
    path = serializers.CharField(help_text="Empty: the name.")
    required = serializers.BooleanField()  # type: ignore[assignment]
    default = serializers.CharField(allow_null=True, help_text="JSON as text, or null.")
    quoted_numbers = serializers.BooleanField()
    format = serializers.CharField()
    evidence = EvidenceSerializer()
    note = serializers.CharField(help_text="What a person should look at; often empty.")


class LeftOutSerializer(serializers.Serializer[Any]):
    path = serializers.CharField()
    why = serializers.CharField()
    evidence = EvidenceSerializer()


class ProposalSerializer(serializers.Serializer[Any]):
    columns = ProposedColumnSerializer(many=True)
    sorting_key = serializers.ListField(child=serializers.CharField())
    partition_key = serializers.CharField()
    unknown_fields = serializers.CharField()
    left_out = LeftOutSerializer(many=True, help_text="Fields without a column.")
    messages = serializers.IntegerField(help_text="Messages that were read.")
    objects = serializers.IntegerField(help_text="Of these, those that fit.")
    others = serializers.DictField(
        child=serializers.IntegerField(), help_text="The rest, by the quarantine's reason."
    )
