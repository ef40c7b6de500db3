"""A part of a document: its values, and the list that collects mistakes in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from millrace.configuration.document import Document, Path_
from millrace.configuration.errors import Mistake
from millrace.configuration.references import Missing, resolve


@dataclass(frozen=True)
class Part:
    """The mapping at ``path`` of ``document``. ``mistakes`` is one list for all parts."""

    document: Document
    path: Path_
    values: dict[str, Any]
    mistakes: list[Mistake]

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    def get(self, key: str, default: Any) -> Any:
        return self.values.get(key, default)

    def only(self, *keys: str) -> dict[str, Any]:
        """The values of those keys that the file has."""
        return {key: self.values[key] for key in keys if key in self.values}

    def parts(self, key: str) -> Iterator[Part]:
        """The mappings in the list at ``key``, each as a part."""
        for index, values in enumerate(self.values.get(key, [])):
            yield Part(self.document, (*self.path, key, index), values, self.mistakes)

    def resolved(self, key: str) -> str:
        """The text at ``key``, with a reference resolved.

        A reference to something missing is noted as a mistake, and gives ''.
        """
        try:
            return resolve(self.values[key], Path(self.document.file).parent)
        except Missing as error:
            self.mistake((key,), str(error))
            return ""

    def mistake(self, path: Path_, message: str) -> None:
        """Note a mistake at ``path``, which is relative to this part."""
        self.mistakes.append(Mistake(self.document.place((*self.path, *path)), message))
