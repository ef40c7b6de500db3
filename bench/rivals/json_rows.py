"""Inserts rows parsed with json: ``python -m bench.rivals.json_rows SERVERS TOPIC URL TABLE N``."""

from __future__ import annotations

import json
import sys

from bench.rivals.orjson_rows import main

if __name__ == "__main__":
    servers, topic, url, table, count = sys.argv[1:]
    main(servers, topic, url, table, count, json.loads)
