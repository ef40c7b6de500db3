"""Kafka's jars: used only with the locked SHA-256, and downloaded only if one is missing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from millrace.embedded import files, jars, service_urls
from millrace.embedded.errors import Altered, Unavailable

CONTENT = {"kafka": b"the broker", "slf4j": b"the log"}


class FakeMaven:
    """A repository in memory with a cache on disk, in place of jgo's context."""

    def __init__(self, cache: Path) -> None:
        self.repo_cache = cache
        self.serves = dict(CONTENT)
        self.downloads: list[str] = []
        self.error: Exception | None = None

    def project(self, group: str, name: str) -> Any:
        def artifact(packaging: str) -> Any:
            filename = f"{name}.{packaging}"
            return SimpleNamespace(filename=filename, resolve=lambda: self._download(name))

        component = SimpleNamespace(path_prefix=Path(group) / name, artifact=artifact)
        return SimpleNamespace(at_version=lambda version: component)

    def _download(self, name: str) -> None:
        self.downloads.append(name)
        if self.error is not None:
            raise self.error
        path = self.path(name)
        # Like jgo: what is there is not downloaded again.
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.serves[name])

    def path(self, name: str) -> Path:
        return Path(self.repo_cache) / "org" / name / f"{name}.jar"


@pytest.fixture
def maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeMaven:
    made = FakeMaven(tmp_path / "jars")
    locked = [
        SimpleNamespace(
            groupId="org",
            artifactId=name,
            version="1",
            packaging="jar",
            sha256=hashlib.sha256(content).hexdigest(),
        )
        for name, content in CONTENT.items()
    ]
    monkeypatch.setattr(service_urls, "cache", lambda: tmp_path)
    monkeypatch.setattr(jars, "_context", lambda cache: made)
    monkeypatch.setattr(jars.LockFile, "load", lambda path: SimpleNamespace(dependencies=locked))
    return made


def test_missing_jars_are_downloaded_once_in_the_order_of_the_lock_file(maven: FakeMaven) -> None:
    expected = [maven.path("kafka"), maven.path("slf4j")]
    assert jars.expected() == expected
    assert maven.downloads == []
    assert jars.paths() == expected
    assert jars.paths() == expected
    assert maven.downloads == ["kafka", "slf4j"]


def test_a_cache_that_is_complete_needs_no_lock_so_that_it_may_be_read_only(
    maven: FakeMaven, monkeypatch: pytest.MonkeyPatch
) -> None:
    jars.paths()

    def refuse(path: Path) -> None:
        raise AssertionError(path)

    monkeypatch.setattr(files, "locked", refuse)
    assert jars.paths() == jars.expected()


def test_a_jar_that_an_interrupted_download_has_left_is_replaced(maven: FakeMaven) -> None:
    jars.paths()
    maven.path("kafka").write_bytes(b"the bro")
    jars.paths()
    assert maven.path("kafka").read_bytes() == b"the broker"
    assert maven.downloads == ["kafka", "slf4j", "kafka"]


def test_a_download_that_differs_from_the_lock_file_is_deleted_and_not_used(
    maven: FakeMaven,
) -> None:
    maven.serves["slf4j"] = b"something else"
    with pytest.raises(Altered, match=r"slf4j\.jar .* kafka\.lock\.toml says") as altered:
        jars.paths()
    assert hashlib.sha256(b"something else").hexdigest() in str(altered.value)
    assert not maven.path("slf4j").exists()
    assert maven.path("kafka").exists()


@pytest.mark.parametrize("error", [OSError("no route"), RuntimeError("404")])
def test_without_a_network_the_message_says_what_to_do(maven: FakeMaven, error: Exception) -> None:
    maven.error = error
    with pytest.raises(Unavailable, match=rf"{type(error).__name__}.*network, or set KAFKA_URL"):
        jars.paths()


def test_the_lock_file_names_the_broker_and_a_hash_for_every_jar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked: Callable[[Path], Any] = jars.LockFile.load
    dependencies = locked(jars.LOCK).dependencies
    named = {(jar.groupId, jar.artifactId, jar.version) for jar in dependencies}
    assert set(jars.COORDINATES) <= named
    assert all(len(jar.sha256) == 64 for jar in dependencies)
