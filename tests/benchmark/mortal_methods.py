"""Methods that kill the process they run in, once or always."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from tiny_methods import Sliding

from benchmark.contract import Generation, MethodSpec, Sample

MARKER = "MORTAL_MARKER"
"""Environment variable: the file that the first death leaves behind."""


def mortal_spec(factory: str) -> MethodSpec:
    return MethodSpec("mortal", "1", "Dies", "Apache-2.0", f"mortal_methods:{factory}")


class DiesOnce(Sliding):
    """Dies in the middle of the first video that is asked of it, on any machine."""

    def generate(self, sample: Sample, prepared: Path, out: Path) -> Generation:
        marker = Path(os.environ[MARKER])
        if not marker.exists():
            marker.touch()
            out.write_bytes(b"half a video")
            os.kill(os.getpid(), signal.SIGKILL)
        return super().generate(sample, prepared, out)


class AlwaysDies(Sliding):
    def generate(self, sample: Sample, prepared: Path, out: Path) -> Generation:
        sys.stderr.write("the last words of a method\n")
        sys.stderr.flush()
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("not reached")
