"""The errors of embedded services, and who must act.

EmbeddedError
├── Unavailable      the machine's owner: something must be installed or changed
├── Altered          nobody should continue: a downloaded file is not the locked one
└── DidNotStart      the user: the log lines in the message say what went wrong
"""

from __future__ import annotations


class EmbeddedError(RuntimeError):
    """Base class of the errors below. The message is meant for a terminal."""


class Unavailable(EmbeddedError):
    """A service can't run on this machine. The message says how to get what is missing."""


class Altered(EmbeddedError):
    """A downloaded file's SHA-256 is not the one in the lock file."""


class DidNotStart(EmbeddedError):
    """A program ended or did not answer in time. The message has the last lines of its log."""
