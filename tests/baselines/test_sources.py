"""A method's sources name every file of ours that its code imports: a stale result would pass as a new one."""

from __future__ import annotations

import ast
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from benchmark.contract import MethodSpec

ROOT = Path(__file__).resolve().parents[2]
OURS = ("media", "reference_model", "baselines")
SPECS = [entry.load() for entry in entry_points(group="avatarbench.methods")]


def module_file(name: str) -> Path | None:
    path = ROOT.joinpath(*name.split("."))
    return next((f for f in (path.with_suffix(".py"), path / "__init__.py") if f.is_file()), None)


def imported_files(start: Path) -> set[Path]:
    """Files of ours that are imported from `start`, at the top or inside functions, directly or not."""
    found, waiting = set(), [start]
    while waiting:
        file = waiting.pop()
        if file in found:
            continue
        found.add(file)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            for name in names:
                target = module_file(name) if name.split(".")[0] in OURS else None
                if target is not None and target.stat().st_size:
                    waiting.append(target)
    return found


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.id)
def test_all_that_a_method_imports_decides_its_fingerprint(spec: MethodSpec):
    named = [*spec.sources, *(spec.preparation.sources if spec.preparation else ())]
    start = module_file(spec.factory.partition(":")[0])
    assert start is not None
    covered = [ROOT / source for source in named]
    missing = [
        str(file.relative_to(ROOT))
        for file in sorted(imported_files(start))
        if not any(file == source or source in file.parents for source in covered)
    ]
    assert missing == []
