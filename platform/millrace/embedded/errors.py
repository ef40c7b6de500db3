"""What can go wrong with embedded services, and who must act.

EmbeddedError
├── Unavailable      the machine's owner: something must be installed
├── Altered          nobody should go on: a file is not the one that was locked
└── DidNotStart      whoever reads the log lines in the message
"""

from __future__ import annotations


class EmbeddedError(RuntimeError):
    """Any of the below; its text is meant for a terminal."""


class Unavailable(EmbeddedError):
    """A service can't run on this machine; the text says how to get what it lacks."""


class Altered(EmbeddedError):
    """A downloaded file's SHA-256 is not the one in the lock file."""


class DidNotStart(EmbeddedError):
    """A program ended or stayed silent; the text has the last lines of its log."""
