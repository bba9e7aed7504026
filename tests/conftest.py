"""Tests run in two processes (see pyproject.toml); each computes with one thread, so that they do not wait for each other."""
import os

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
