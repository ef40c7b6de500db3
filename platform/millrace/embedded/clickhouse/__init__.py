"""The embedded ClickHouse: chDB in one process, behind ClickHouse's own HTTP interface.

chDB lets one process only open a data folder, so this process opens it and every other one talks
to it as it would to a ClickHouse server: ``clickhouse-connect`` needs no change. It is started by
``python -m millrace.embedded.clickhouse`` and imports no Django.

Which walls hold between the users made by ``CREATE USER``, tried on the engine:

* **Engine**: a user's queries run under ``SET ROLE`` of a role that can do nothing but SELECT: no
  table function that reaches out (``url``, ``s3``, ``remote``, ``file``), no write, no DDL. For
  users that were there when the process started, the role names exactly their databases, and the
  engine itself refuses all others. The engine reads its roles only once, so users that were made
  since then run under a role that may select from every database until the next start.
* **Session**: ``readonly = 1`` and the user's own limits are set on the connection, where no query
  can lift them.
* **Statement** (`guard`): one statement, of a class that changes nothing, whose tables (by the
  engine's own parser) are in databases granted to the user. This is what keeps databases apart for
  users younger than the process.
* **Kernel** (`confine`): where Linux has Landlock, the process sees its own data folder and the
  installed programs, and no other file. The scalar function ``file()`` and ``INTO OUTFILE`` pass
  the engine's own checks; the statement wall refuses them, and this one bounds what they could
  reach.

What chDB does not have: quotas, ``system.query_log``, ``CREATE ROLE`` and the like, and a query id
of the client's choosing in ``system.processes`` (KILL QUERY by the client's id works all the same).
"""
