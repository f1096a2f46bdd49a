"""`bench methods | metrics | protocols | doctor | show`: what there is. They answer at once and import no torch."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from benchmark.console import out
from media.errors import CODES, NOTES, AvatarBenchError

__all__ = ["doctor", "methods", "metrics", "protocols", "show"]

EXIT_BAD_INPUT = 3


def methods() -> None:
    """List the methods that are installed."""
    from benchmark.registry import list_methods

    table = Table("method", "version", "what it is", "licence", header_style="bold")
    broken = False
    for listing in list_methods():
        if listing.spec is None:
            broken = True
            table.add_row(f"[red]{listing.name}[/red]", "", f"[red]does not load: {listing.error}[/red]", "")
        else:
            spec = listing.spec
            note = " (sees the truth, never ranked)" if spec.privileged else ""
            table.add_row(spec.id, spec.version, spec.title + note, spec.licence)
    out.print(table)
    if broken:
        raise typer.Exit(EXIT_BAD_INPUT)


def metrics() -> None:
    """List the metrics with their exact variants."""
    from benchmark.metrics.catalogue import METRICS

    table = Table("column", "id", "version", "unit", "better", "definition", header_style="bold")
    for metric in METRICS.values():
        table.add_row(metric.column, metric.id, metric.version, metric.unit, metric.direction, metric.variant)
    out.print(table)


def protocols() -> None:
    """List the protocols with their hashes, and what of them this release can measure."""
    from benchmark.metrics.catalogue import missing_metrics
    from benchmark.protocol import list_protocols

    table = Table("protocol", "sha256", "title", "metrics", "not in this release", header_style="bold")
    for protocol in list_protocols():
        names = ", ".join(rule.id for rule in protocol.metrics)
        missing = ", ".join(missing_metrics(protocol))
        table.add_row(protocol.id, protocol.sha256[:12], protocol.title, names, f"[red]{missing}[/red]")
    out.print(table)


def doctor(
    clean: Annotated[bool, typer.Option(help="Empty the cache, too.")] = False,
    cluster: Annotated[bool, typer.Option(help="Look at what --cluster needs, too.")] = False,
    method: Annotated[
        str | None,
        typer.Option("--method", "-m", help="Look at this method instead, and at all that it needs."),
    ] = None,
) -> None:
    """Look at the installation and say what to do about what is missing."""
    from benchmark.cache import clean_cache
    from benchmark.doctor import examine, examine_one

    if clean:
        out.print(f"Freed {clean_cache() / 1e6:.1f} MB of cache.")
    table = Table("", "what", "found", "what to do", header_style="bold")
    healthy = True
    for check in examine(cluster=cluster) if method is None else examine_one(method):
        healthy &= check.ok
        mark = "[green]ok[/green]" if check.ok else "[red]no[/red]"
        table.add_row(mark, check.name, escape(check.found), escape(check.fix))
    out.print(table)
    if not healthy:
        raise typer.Exit(EXIT_BAD_INPUT)


def show(code: Annotated[str, typer.Argument(help="An error code such as E402.")]) -> None:
    """Explain an error code."""
    known = CODES | NOTES
    meaning = known.get(code.upper())
    if meaning is None:
        raise AvatarBenchError(
            "E504", f"there is no error code '{code}'", expected=f"one of {', '.join(known)}"
        )
    out.print(f"{code.upper()}: {meaning}")
