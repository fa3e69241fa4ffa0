"""openwandb until it is asked to end, with what the SDK asks before it continues a run: serve.py FOLDER PORT.

As it is published (0.5.25), it answers that no run has begun and that none has rows: it looks for the field `t` of
`wandbConfig` among the user's config, and fills neither `historyLineCount` nor the two tails. The SDK then begins
every run anew, and the server keeps every row that it gets. Here they are answered from what is stored, in the form
that the SDK's own tests give ("required to check that the run exists"). How it stores stays as it is.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

folder, port = sys.argv[1:]
os.environ["OPENWANDB_DATA_DIR"] = folder
os.environ["OPENWANDB_BASE_URL"] = f"http://127.0.0.1:{port}"

import uvicorn  # noqa: E402
from openwandb import database, graphql_schema  # noqa: E402  # its settings are read where it is imported
from openwandb.server import app  # noqa: E402

as_published = graphql_schema._run_to_type


def with_what_has_begun(run: dict[str, Any]) -> Any:
    """Return a run of the GraphQL API."""
    told = as_published(run)
    config = json.loads(run["config_json"])
    told._config_json = json.dumps(config | config.get("_wandb", {}).get("value", {}))
    steps = sorted({point["step"] for point in database.get_metrics(run["run_id"])})
    told.history_line_count = len(steps)
    told.history_tail = json.dumps([json.dumps({"_step": step}) for step in steps[-1:]])
    told.events_tail = "[]"
    return told


graphql_schema._run_to_type = with_what_has_begun
uvicorn.run(app, host="127.0.0.1", port=int(port))
