"""Sorts the parameters of a request into transport, bound query parameters, and settings.

A parameter that this server does not know is a setting, and the engine refuses unknown settings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from millrace.embedded.clickhouse.errors import refuse

#: Parameters of the HTTP interface itself.
_TRANSPORT = frozenset(
    [
        "query",
        "database",
        "default_format",
        "user",
        "password",
        "quota_key",
        "role",
        "compress",
        "decompress",
        "session_id",
        "session_timeout",
        "session_check",
        "query_id",
        "wait_end_of_query",
        "buffer_size",
        "client_protocol_version",
        "stacktrace",
        "close_session",
        "query_cache_tag",
    ]
)
#: ClickHouse's limit on a user's simultaneous statements. It is never passed to the engine, for
#: which all users are one user, so that it would count their statements together.
MOST_AT_ONCE = "max_concurrent_queries_for_user"
#: Settings of the HTTP interface: real ClickHouse settings that have no effect in the engine.
_FRONT = frozenset(
    [
        MOST_AT_ONCE,
        "enable_http_compression",
        "http_zlib_compression_level",
        "http_native_compression_disable_checksumming_on_decompress",
        "send_progress_in_http_headers",
        "http_headers_progress_interval_ms",
        "http_wait_end_of_query",
        "http_response_buffer_size",
        "http_write_exception_in_output_format",
        "http_response_headers",
        "cancel_http_readonly_queries_on_client_close",
        "add_http_cors_header",
        "http_max_uri_size",
        "http_max_fields",
        "http_max_field_name_size",
        "http_max_field_value_size",
        "http_send_timeout",
        "http_receive_timeout",
        "http_connection_timeout",
        "http_max_request_header_size",
    ]
)
_EXTERNAL = ("_format", "_types", "_structure")


@dataclass(frozen=True)
class Parameters:
    """One request's parameters, sorted.

    ``transport`` are the HTTP interface's own, ``bound`` the query's parameters, ``settings`` those
    of the engine, and ``front`` the settings that only this server uses.
    """

    transport: Mapping[str, str]
    bound: Mapping[str, str]
    settings: Mapping[str, str]
    front: Mapping[str, str]

    def flag(self, name: str) -> bool:
        """A boolean parameter of the transport or the front; False if missing."""
        return (self.front.get(name) or self.transport.get(name) or "0") in (
            "1",
            "true",
        )

    def number(self, name: str, default: int) -> int:
        """An integer parameter of the transport or the front; raises EngineError 36."""
        text = self.front.get(name) or self.transport.get(name)
        try:
            return int(text) if text else default
        except ValueError:
            raise refuse(36, f"The parameter {name} is not a number.") from None


def _text(name: str, value: str) -> str:
    if not value.isascii() and any("\ud800" <= sign <= "\udfff" for sign in value):
        raise refuse(36, f"The value of {name} is not UTF-8.")
    return value


def split(pairs: Mapping[str, str], files: Iterable[str] = ()) -> Parameters:
    """Sort a request's parameters; ``files`` are the names of external tables."""
    transport: dict[str, str] = {}
    bound: dict[str, str] = {}
    settings: dict[str, str] = {}
    front: dict[str, str] = {}
    about_files = {name + tail for name in files for tail in _EXTERNAL}
    for name, value in pairs.items():
        if name.startswith("param_"):
            bound[name[6:]] = _text(name, value)
        elif name in _TRANSPORT or name in about_files:
            transport[name] = value
        elif name in _FRONT:
            front[name] = value
        else:
            settings[name] = value
    return Parameters(transport, bound, settings, front)
