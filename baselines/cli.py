"""Verbs that this package adds to `bench`. Nothing heavy is imported at the top."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["test_method"]


def test_method(
    method: Annotated[str, typer.Argument(help="Id of a registered method.")],
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    seconds: Annotated[float, typer.Option(min=0.4, help="Length of the clip that it is tried on.")] = 1.0,
) -> None:
    """Try a method on one clip and say which duties of the contract it keeps."""
    from rich.markup import escape
    from rich.table import Table

    from baselines.contract_check import examine_method
    from benchmark.console import out
    from benchmark.environment import resolve_device
    from benchmark.registry import find_method
    from media.errors import AvatarBenchError

    table = Table("", "duty", "found", header_style="bold")
    broken = []
    for finding in examine_method(find_method(method), resolve_device(device), seconds):
        mark = "[green]ok[/green]" if finding.ok else "[red]no[/red]"
        table.add_row(mark, finding.duty, escape(finding.told))
        broken += [] if finding.ok else [finding.duty]
    out.print(table)
    if broken:
        raise AvatarBenchError(
            "E731",
            f"the method '{method}' breaks the contract",
            expected="a method that " + ", ".join(broken),
            fix="docs/add_a_method.md explains each duty.",
        )
