"""Evidently's report of drift by PSI: `python drift.py FOLDER ROUNDS` prints a JSON object of CPU seconds."""

import json
import sys
import time
import warnings
from pathlib import Path

warnings.simplefilter("ignore")

import pandas as pd  # noqa: E402
from evidently import Report  # noqa: E402
from evidently.presets import DataDriftPreset  # noqa: E402

folder, rounds = Path(sys.argv[1]), int(sys.argv[2])
reference = pd.read_parquet(folder / "reference.parquet")
current = pd.read_parquet(folder / "current.parquet")
seconds = []
for _ in range(rounds):
    started = time.process_time()
    found = Report([DataDriftPreset(method="psi")]).run(current, reference)
    found.dict()
    seconds.append(time.process_time() - started)
json.dump({"seconds": seconds}, sys.stdout)
