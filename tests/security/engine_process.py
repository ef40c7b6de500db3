"""One engine in a process of its own: statements come as lines of JSON, answers go back so.

``python -m tests.security.engine_process FOLDER CONFIG [--confined]``. ``FOLDER/store`` is the
data. The engine can crash of an attack, and must see no more files than it is let.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from millrace.embedded.clickhouse.confine import confine
from millrace.embedded.clickhouse.engine import Engine, EngineConnection
from millrace.embedded.clickhouse.errors import EngineError


def _answer(connection: EngineConnection, order: dict[str, Any]) -> dict[str, str]:
    try:
        data = connection.run(order["sql"], "TSVRaw", order["bound"]).data
    except EngineError as error:
        return {"error": str(error)}
    return {"result": bytes(data).decode("utf-8", "replace")}


def main() -> None:
    folder, config = Path(sys.argv[1]), Path(sys.argv[2])
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    if "--confined" in sys.argv and not confine((folder,)):
        sys.exit("no Landlock")
    orders, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    # What the engine says, or reads of its own input, must not come between.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    engine = Engine(folder / "store", config, scratch)
    connection = engine.connect()
    answers.write("ready\n")
    answers.flush()
    for line in orders:
        answers.write(json.dumps(_answer(connection, json.loads(line))) + "\n")
        answers.flush()
    connection.close()
    engine.close()
    os._exit(0)


if __name__ == "__main__":
    main()
