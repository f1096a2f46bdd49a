"""Templates: plain HTML with every string escaped."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

__all__ = ["STATIC", "render"]

_HERE = Path(__file__).parent
STATIC = _HERE / "static"


def render(template: str, depth: int, **content: Any) -> str:
    """One page.

    Args:
        template: Name of the template.
        depth: Folders between the page and the site's root.
        content: What the template shows.
    """
    return _environment().get_template(template).render(root="../" * depth, **content)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters["percent"] = lambda share: (
        f"{share:.0%}" if share in (0, 1) else f"{100 * share:.1f}%"
    )
    environment.filters["count"] = _count
    return environment


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"
