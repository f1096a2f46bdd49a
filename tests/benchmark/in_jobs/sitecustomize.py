"""Python runs this first in every process whose PYTHONPATH names this folder: tiny runs in the jobs of a cluster, too.

A job is a process of its own, so what a test has patched in its process is not patched there.
"""

import os
from pathlib import Path

import benchmark.protocol

benchmark.protocol._FOLDER = Path(os.environ["TINY_PROTOCOLS"])

import benchmark.timings  # noqa: E402  # after the folder has changed

benchmark.timings.describe_environment = lambda: {"machine": "a job's"}
