"""Memory does not grow with a clip's length."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tiny_engine import FPS, write_blobs

OBSERVE = """
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from tiny_engine import MEAN_COLOUR, THUMBNAILS, view
from benchmark.engine import observe
from benchmark.extractors import EXTRACTORS, Networks
from benchmark.observations import Request

NEEDS = ("pixel_error", "mean_colour", "thumbnails")
EXTRACTORS.update({extractor.id: extractor for extractor in (MEAN_COLOUR, THUMBNAILS)})
truth = view(Path(sys.argv[2]), int(sys.argv[3]))
prediction = replace(truth, sha256="of another file")  # decoded beside the truth, without the time to make one
(found,) = observe([Request("clip", truth, {"method": prediction}, NEEDS)], Networks(), sys.exit)
assert len(found.of("method", NEEDS).pair["pixel_error"]["mse"]) == truth.n_frames
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(int(status["VmHWM"].split()[0]))
"""


def peak_kb(folder: Path, seconds: int) -> int:
    """Largest resident memory of a process that observes one prediction of this length, kB."""
    n_frames = round(seconds * FPS)
    clip = write_blobs(folder / f"{seconds}.mp4", seconds, n_frames)
    command = [sys.executable, "-c", OBSERVE, str(Path(__file__).parent), str(clip), str(n_frames)]
    done = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_ten_minutes_need_at_most_a_fifth_more_memory_than_ten_seconds(tmp_path: Path):
    short, long = peak_kb(tmp_path, 10), peak_kb(tmp_path, 600)
    assert long <= 1.2 * short, f"{short / 1000:.0f} MB for 10 s, {long / 1000:.0f} MB for 10 min"
