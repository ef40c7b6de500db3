"""Reads a YAML file, keeping the position of every part, and checks it against the schema."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import yaml

from millrace.configuration.errors import ConfigurationError, FilePosition, Mistake
from tenants import exact_json

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

SCHEMA = Path(__file__).with_name("millrace.schema.json")

Path_ = tuple[str | int, ...]


@dataclass(frozen=True)
class Document:
    """A file's ``content``, as the schema describes it, and the ``places`` of its parts by path."""

    file: str
    content: dict[str, Any]
    places: Mapping[Path_, FilePosition]

    def place(self, path: Path_) -> FilePosition:
        """The position of a part; of the nearest enclosing part if the file does not have it."""
        while path not in self.places:
            path = path[:-1]
        return self.places[path]


@cache
def schema() -> dict[str, Any]:
    """The JSON Schema of a configuration file (json-schema.org, 2020-12)."""
    loaded: dict[str, Any] = json.loads(SCHEMA.read_text())
    return loaded


def read(path: Path) -> Document:
    """Read and check a file; raises ConfigurationError with every mistake against the schema."""
    file = str(path)
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except OSError as error:
        raise _single(
            FilePosition(file, 1, 1), f"The file can't be read: {error.strerror}."
        ) from error
    except UnicodeDecodeError as error:
        raise _single(FilePosition(file, 1, 1), "The file is not UTF-8.") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = (
            FilePosition(file, mark.line + 1, mark.column + 1) if mark else FilePosition(file, 1, 1)
        )
        raise _single(place, f"The file is not valid YAML: {error.problem}.") from error
    places: dict[Path_, FilePosition] = {(): FilePosition(file, 1, 1)}
    mistakes: list[Mistake] = []
    content = {} if node is None else _value(file, node, (), places, mistakes)
    document = Document(file, content, places)
    mistakes += _against_schema(document)
    if mistakes:
        raise ConfigurationError(mistakes)
    return document


def _single(place: FilePosition, message: str) -> ConfigurationError:
    return ConfigurationError([Mistake(place, message)])


def _value(
    file: str,
    node: yaml.Node,
    path: Path_,
    places: dict[Path_, FilePosition],
    mistakes: list[Mistake],
) -> Any:
    places.setdefault(path, _start(file, node))
    if isinstance(node, yaml.SequenceNode):
        return [
            _value(file, item, (*path, index), places, mistakes)
            for index, item in enumerate(node.value)
        ]
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            inner = (*path, key)
            if key in mapping:
                mistakes.append(Mistake(_start(file, key_node), f"{key!r} is given twice."))
            places[inner] = _start(file, key_node)
            mapping[key] = _value(file, value_node, inner, places, mistakes)
        return mapping
    return _scalar(file, node, mistakes)


def _scalar(file: str, node: yaml.Node, mistakes: list[Mistake]) -> Any:
    # A date stays the text in the file: the schema is JSON's, which has no dates.
    if node.tag == "tag:yaml.org,2002:timestamp":
        return node.value
    if node.tag == "tag:yaml.org,2002:float":
        return _float(node)
    try:
        return yaml.SafeLoader("").construct_object(node)
    except yaml.YAMLError:
        mistakes.append(Mistake(_start(file, node), f"{node.value!r} can't be read as {node.tag}."))
        return None


def _float(node: yaml.Node) -> Any:
    """The number, or a string of its digits if a double can't hold all of them."""
    try:
        return exact_json.storable(Decimal(node.value.replace("_", "")))
    except (InvalidOperation, ValueError):  # .inf, .nan and 1:30.5
        return yaml.SafeLoader("").construct_object(node)


def _start(file: str, node: yaml.Node) -> FilePosition:
    return FilePosition(file, node.start_mark.line + 1, node.start_mark.column + 1)


# --- Against the schema -------------------------------------------------------------------------


def _against_schema(document: Document) -> Iterator[Mistake]:
    # It takes a tenth of a second to import, which only `apply` needs to wait for.
    from jsonschema import Draft202012Validator

    validator = Draft202012Validator(schema())
    for error in validator.iter_errors(document.content):
        yield from _mistakes(document, error)


def _mistakes(document: Document, error: ValidationError) -> Iterator[Mistake]:
    path, rule = tuple(error.absolute_path), cast("dict[str, Any]", error.schema)
    if error.validator == "additionalProperties":
        known = list(rule.get("properties", {}))
        for key in set(cast("dict[str, Any]", error.instance)) - set(known):
            yield Mistake(document.place((*path, key)), _unknown(key, known))
    else:
        yield Mistake(document.place(path), _message(error))


def _unknown(key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(key, known, 1)
    if close:
        return f"{key!r} is not a known key here. Did you mean {close[0]!r}?"
    return f"{key!r} is not a known key here. Use one of: {', '.join(known)}."


def _message(error: ValidationError) -> str:
    # The schema has a message of its own where jsonschema's does not say what would be right.
    message = cast("dict[str, Any]", error.schema).get("x-message")
    if isinstance(message, str) and error.validator != "required":
        return message
    return f"{error.message}."
