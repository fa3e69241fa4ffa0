"""The dtype in which this pandas holds strings with gaps."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

# Before pandas 3, strings are objects, and `str` as a dtype would make a text of every missing value.
TEXT: Final[Any] = pd.StringDtype(na_value=np.nan) if int(pd.__version__.split(".")[0]) >= 3 else np.dtype(object)
