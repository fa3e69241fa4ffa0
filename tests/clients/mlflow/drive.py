"""MLflow's scoring client against a server: JSON on standard input says where and what to ask, JSON comes out."""

from __future__ import annotations

import json
import sys
from typing import Any

import pandas as pd
from mlflow.pyfunc.scoring_server.client import ScoringServerClient

ASKED = json.load(sys.stdin)
FRAME = pd.DataFrame(ASKED["rows"])


def refused(call: Any) -> str:
    """Return what the client says of a request that the server refuses."""
    try:
        call()
    except Exception as error:  # the client raises nothing narrower
        return str(error)
    return "nothing was refused"


def predictions(client: ScoringServerClient, table: Any, **more: Any) -> list[Any]:
    """Return what the client got for a table."""
    return list(client.invoke(table, **more).get_predictions().iloc[:, 0])


def main() -> dict[str, Any]:
    """Return what the client got."""
    client = ScoringServerClient("127.0.0.1", ASKED["http"])
    client.wait_server_ready(timeout=30)
    client.ping()
    many = pd.concat([FRAME] * (10_000 // len(FRAME) + 1)).head(10_000)
    return {
        "version": client.get_version(),
        "frame": predictions(client, FRAME),
        "one row": predictions(client, FRAME.head(1)),
        "10,000 rows": predictions(client, many),
        "other order, a column more": predictions(client, FRAME[FRAME.columns[::-1]].assign(label=1)),
        "params": predictions(client, FRAME, params={"warmth": 0.5}),
        "array": predictions(client, FRAME.to_numpy()),
        "units": predictions(client, FRAME.assign(**{"fairmind.unit": [f"p-{row}" for row in range(len(FRAME))]})),
        "refused": refused(lambda: client.invoke(FRAME.drop(columns="age"))),
    }


sys.stdout.write(json.dumps(main()) + "\n")
