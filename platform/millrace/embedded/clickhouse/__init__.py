"""The embedded ClickHouse: chDB in one process, behind ClickHouse's own HTTP interface.

Only one process can open a chDB data folder. This process opens it, and all others talk to it as
they would to a ClickHouse server, so ``clickhouse-connect`` works unchanged. It is started with
``python -m millrace.embedded.clickhouse`` and does not import Django.

Four walls separate the users created with ``CREATE USER``. Each was tested on the engine:

* **Engine**: a user's queries run under ``SET ROLE`` with a role that may only SELECT. It allows
  no table function that reaches out (``url``, ``s3``, ``remote``, ``file``), no write, no DDL. For
  users that existed when the process started, the role names exactly their databases, and the
  engine itself refuses all others. The engine reads its roles only once, so users created later
  run under a role that may select from every database until the next start.
* **Session**: ``readonly = 1`` and the user's own limits are set on the connection, where no query
  can lift them.
* **Statement** (`guard`): a single statement, of a class that changes nothing, whose tables (by the
  engine's own parser) are in databases granted to the user. For users created after the start,
  this wall alone keeps databases apart.
* **Kernel** (`confine`): on Linux with Landlock, the process can open only its own data folder and
  the installed programs. The scalar function ``file()`` and ``INTO OUTFILE`` pass the engine's own
  checks; the statement wall refuses them, and this wall limits what they could reach.

chDB lacks quotas, ``system.query_log``, ``CREATE ROLE`` and similar statements, and query ids that
clients choose in ``system.processes`` (KILL QUERY with the client's id works nevertheless).
"""
