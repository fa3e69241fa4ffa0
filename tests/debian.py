"""System packages that some of the long tests need: a test installs them, or says how to."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest


def install_libgomp() -> None:
    """LightGBM's wheel brings no OpenMP library along: it needs the system's."""
    known = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=False).stdout
    if "libgomp.so.1" in known:
        return
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        pytest.fail("LightGBM needs libgomp.so.1: run `apt-get install libgomp1` as root, then this test again")
    subprocess.run([apt, "update", "--quiet"], check=True)
    subprocess.run([apt, "install", "--yes", "--quiet", "libgomp1"], check=True)
