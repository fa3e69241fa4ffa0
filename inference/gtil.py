"""The door to treelite's tree inference library, without treelite's Python package.

That package imports SciPy for sparse matrices, which a serving worker has no use for: it costs most of a second
and tens of megabytes. The native library and its C interface are the same.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import sys
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_NAMES = {"darwin": "libtreelite.dylib", "win32": "treelite.dll"}
_DOUBLE = b"float64"


class TreeLibraryError(Exception):
    """The tree library is missing or refused a call; translated by those who load runtimes."""


class Trees:
    """A tree ensemble in the native library. One thread computes; other threads may run meanwhile."""

    def __init__(self, content: bytes, *, raw: bool = False) -> None:
        """Read the ensemble from treelite's own serialized form, float64 thresholds and leaves.

        `raw` gives the sum over the trees as it is: the library's softmax computes in float32.
        """
        self._model, self._config = ctypes.c_void_p(), ctypes.c_void_p()
        self._library = _library()
        buffer = ctypes.create_string_buffer(content, len(content))
        size = ctypes.c_size_t(len(content))
        self._call("TreeliteDeserializeModelFromBytes", buffer, size, ctypes.byref(self._model))
        options = json.dumps({"predict_type": "raw" if raw else "default", "nthread": 1}).encode()
        self._call("TreeliteGTILParseConfig", ctypes.c_char_p(options), ctypes.byref(self._config))
        if {self._type("TreeliteGetInputType"), self._type("TreeliteGetOutputType")} != {_DOUBLE}:
            raise TreeLibraryError("the trees are not float64")
        features = ctypes.c_size_t()
        self._call("TreeliteQueryNumFeature", self._model, ctypes.byref(features))
        self.features = features.value
        self.outputs = self._outputs()
        self._predict = self._library.TreeliteGTILPredict

    def predict(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return [N, outputs] for `matrix` [N, features], C-ordered."""
        rows = len(matrix)
        if matrix.shape[1] != self.features or not matrix.flags.c_contiguous:
            raise ValueError(f"the trees take {self.features} features, C-ordered")
        result = np.zeros((rows, self.outputs))
        status = self._predict(
            self._model,
            ctypes.c_void_p(matrix.ctypes.data),
            ctypes.c_char_p(_DOUBLE),
            ctypes.c_uint64(rows),
            ctypes.c_void_p(result.ctypes.data),
            self._config,
        )
        self._check(status)
        return result

    def __del__(self) -> None:
        library = getattr(self, "_library", None)
        if library is not None:
            library.TreeliteGTILDeleteConfig(self._config)
            library.TreeliteFreeModel(self._model)

    def _outputs(self) -> int:
        shape, dimensions = ctypes.POINTER(ctypes.c_uint64)(), ctypes.c_uint64()
        self._call(
            "TreeliteGTILGetOutputShape",
            self._model,
            ctypes.c_uint64(1),
            self._config,
            ctypes.byref(shape),
            ctypes.byref(dimensions),
        )
        return int(np.prod([shape[index] for index in range(dimensions.value)]))

    def _type(self, function: str) -> bytes:
        out = ctypes.c_char_p()
        self._call(function, self._model, ctypes.byref(out))
        return out.value or b""

    def _call(self, function: str, *arguments: object) -> None:
        self._check(getattr(self._library, function)(*arguments))

    def _check(self, status: int) -> None:
        if status != 0:
            message: bytes = self._library.TreeliteGetLastError()
            raise TreeLibraryError(message.decode("utf-8", "replace").strip().splitlines()[0])


@cache
def _library() -> ctypes.CDLL:
    spec = importlib.util.find_spec("treelite")
    if spec is None or spec.origin is None:
        raise TreeLibraryError("treelite is not installed")
    path = Path(spec.origin).parent / "lib" / _NAMES.get(sys.platform, "libtreelite.so")
    if not path.is_file():
        raise TreeLibraryError("treelite is installed without its native library")
    library = ctypes.CDLL(str(path))
    library.TreeliteGetLastError.restype = ctypes.c_char_p
    return library
