"""Apache Kafka's jars: resolved by jgo, locked by SHA-256, and kept in the project's cache.

``python -m millrace.embedded.jars`` resolves them again and writes the lock file.
"""

from __future__ import annotations

from pathlib import Path

from jgo.constants import MAVEN_CENTRAL_URL
from jgo.env._lockfile import LockedDependency, LockFile, compute_sha256
from jgo.maven import MavenContext, PythonResolver
from jgo.parse import Coordinate

from millrace.embedded import files, service_urls
from millrace.embedded.errors import Altered, Unavailable

#: The jars to lock, besides those they depend on. slf4j-simple writes Kafka's warnings to its log.
COORDINATES = (
    ("org.apache.kafka", "kafka_2.13", "4.1.1"),
    ("org.slf4j", "slf4j-simple", "1.7.36"),
)
LOCK = Path(__file__).with_name("kafka.lock.toml")


def paths() -> list[Path]:
    """Every jar of the lock file, downloaded if missing, with its SHA-256 checked.

    Raises Altered if a jar differs from the locked one, Unavailable if it can't be downloaded.
    """
    cache = service_urls.cache() / "jars"
    context, jars = _context(cache), LockFile.load(LOCK).dependencies
    # Without the lock if possible: a cache that another user has filled may be read-only.
    if all(_is_there(context, jar) for jar in jars):
        return expected()
    with files.locked(cache / ".lock"):
        return [_fetch(context, jar) for jar in jars]


def expected(cache: Path | None = None) -> list[Path]:
    """The paths of the lock file's jars, there or not, in the order of the class path."""
    context = _context(cache or service_urls.cache() / "jars")
    return [_cached(context, locked) for locked in LockFile.load(LOCK).dependencies]


def _context(cache: Path) -> MavenContext:
    return MavenContext(repo_cache=cache, remote_repos={"central": MAVEN_CENTRAL_URL}, timeout=60)


def _cached(context: MavenContext, locked: LockedDependency) -> Path:
    component = context.project(locked.groupId, locked.artifactId).at_version(locked.version)
    artifact = component.artifact(packaging=locked.packaging)
    return Path(context.repo_cache / component.path_prefix / artifact.filename)


def _is_there(context: MavenContext, locked: LockedDependency) -> bool:
    path = _cached(context, locked)
    return path.exists() and bool(compute_sha256(path) == locked.sha256)


def _fetch(context: MavenContext, locked: LockedDependency) -> Path:
    path = _cached(context, locked)
    if _is_there(context, locked):
        return path
    # Remove what an interrupted download left behind.
    path.unlink(missing_ok=True)
    component = context.project(locked.groupId, locked.artifactId).at_version(locked.version)
    try:
        component.artifact(packaging=locked.packaging).resolve()
    except (OSError, RuntimeError) as error:
        raise Unavailable(
            f"{locked.artifactId} {locked.version}, a part of Apache Kafka, could not be "
            f"downloaded from Maven Central ({type(error).__name__}). Check the network, or set "
            "KAFKA_URL to a Kafka of your own."
        ) from error
    digest = compute_sha256(path)
    if digest != locked.sha256:
        path.unlink()
        raise Altered(
            f"{path.name} from Maven Central has the SHA-256 {digest}, but {LOCK.name} says "
            f"{locked.sha256}. The file was deleted and not used."
        )
    return path


def lock() -> None:
    """Resolve COORDINATES and their run-time dependencies, and write the lock file."""
    context = _context(service_urls.cache() / "jars")
    dependencies = [
        context.create_dependency(Coordinate(group, artifact, version, scope="compile"))
        for group, artifact, version in COORDINATES
    ]
    inputs, transitive = PythonResolver().resolve(dependencies)
    needed = inputs + [jar for jar in transitive if jar.scope in {"compile", "runtime"}]
    LockFile.from_resolved_dependencies(needed, environment_name="kafka").save(LOCK)


if __name__ == "__main__":
    lock()
