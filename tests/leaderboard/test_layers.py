"""Who imports whom, and what listing verbs costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "mediapipe", "cv2", "pyarrow", "pandas", "scipy", "numba")


def test_the_benchmark_never_imports_the_leaderboard():
    files = sorted((ROOT / "benchmark").rglob("*.py"))
    assert files
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] == "leaderboard" for name in names), file


def test_the_verbs_are_listed_without_heavy_imports():
    code = (
        "import sys; from importlib.metadata import entry_points\n"
        "verbs = [entry.load() for entry in entry_points(group='avatarbench.commands')]\n"
        f"print(len(verbs), [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    number, _, heavy = done.stdout.strip().partition(" ")
    assert int(number) >= 4
    assert heavy == "[]"
