"""Methods by entry point: listed without importing their code, looked up with a helpful message."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from benchmark.contract import Method, MethodSpec, Oracle, Preparation, PreparedOracle
from benchmark.hashing import sha256_json, sha256_tree
from media.errors import AvatarBenchError

__all__ = [
    "GROUP",
    "Listing",
    "create_method",
    "find_method",
    "fingerprint",
    "hash_sources",
    "list_methods",
    "missing_sources",
    "outside_of",
    "preparation_fingerprint",
]

GROUP = "avatarbench.methods"


@dataclass(frozen=True, slots=True)
class Listing:
    """One registered name: its spec, or what went wrong when the spec was loaded."""

    name: str
    spec: MethodSpec | None
    error: str | None


def list_methods(entries: Iterable[EntryPoint] | None = None) -> list[Listing]:
    """All registered methods by name, `ours` first.

    A spec that does not load is listed with its error: a broken one must be seen and must not hide others.

    Raises:
        AvatarBenchError: E501 when two distributions claim one name.
    """
    by_name: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUP) if entries is None else entries:
        other = by_name.get(entry.name)
        if other is not None and other.value != entry.value:
            raise AvatarBenchError(
                "E501",
                f"two methods are registered as '{entry.name}'",
                expected="one entry point a name",
                got=f"{other.value} and {entry.value}",
                fix="uninstall one of the two packages, or rename its entry point.",
            )
        by_name[entry.name] = entry
    ordered = sorted(by_name, key=lambda name: (name != "ours", name))
    return [_load_listing(by_name[name]) for name in ordered]


def _load_listing(entry: EntryPoint) -> Listing:
    try:
        spec = entry.load()
    except Exception as error:  # anything a foreign module does while it is imported
        return Listing(entry.name, None, f"{entry.value}: {type(error).__name__}: {error}")
    if not isinstance(spec, MethodSpec):
        return Listing(entry.name, None, f"{entry.value} is a {type(spec).__name__}, not a MethodSpec")
    if spec.id != entry.name:
        return Listing(entry.name, None, f"{entry.value} calls itself '{spec.id}'")
    return Listing(entry.name, spec, None)


def find_method(name: str, entries: Iterable[EntryPoint] | None = None) -> MethodSpec:
    """The spec registered as `name`.

    Raises:
        AvatarBenchError: E501 for an unknown name (the nearest is given) or a spec that does not load,
            E603 when a package that the method needs is not installed.
    """
    listings = {listing.name: listing for listing in list_methods(entries)}
    listing = listings.get(name)
    if listing is None:
        near = difflib.get_close_matches(name, listings, n=1, cutoff=0.4)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise AvatarBenchError(
            "E501",
            f"unknown method '{name}'.{hint}",
            expected=f"one of {', '.join(listings)}",
            fix="list them with: bench methods",
        )
    if listing.spec is None:
        raise AvatarBenchError(
            "E501",
            f"the method '{name}' is registered but does not load",
            got=listing.error,
            fix="repair or uninstall the package that registers it.",
        )
    for package in listing.spec.needs:
        if importlib.util.find_spec(package) is None:
            raise AvatarBenchError(
                "E603",
                f"the method '{name}' needs the package '{package}'",
                fix=f"install it, for example with: uv pip install {package}",
            )
    return listing.spec


def create_method(spec: MethodSpec, device: str) -> Method | Oracle | PreparedOracle:
    """Import the method's class and build it for `device` ("cpu", "cuda" or "cuda:N")."""
    module, _, attribute = spec.factory.partition(":")
    return getattr(importlib.import_module(module), attribute)(device)


def fingerprint(spec: MethodSpec) -> str:
    """SHA-256 of what decides the method's output beside the sample: version, code, weights."""
    prepared = None if spec.preparation is None else preparation_fingerprint(spec.preparation)
    content = [spec.id, spec.version, spec.factory, hash_sources(spec.sources), prepared]
    return sha256_json([*content, *_outside_state(spec.state)])


def preparation_fingerprint(preparation: Preparation) -> str:
    """SHA-256 of what decides a preparation's outcome beside the person."""
    content = [preparation.id, preparation.version, hash_sources(preparation.sources)]
    return sha256_json([*content, *_outside_state(preparation.state)])


def missing_sources(spec: MethodSpec) -> list[str]:
    """Files and folders that the method and its preparation name and that are not there, weights above all."""
    named = {*spec.sources, *(spec.preparation.sources if spec.preparation else ())}
    return sorted(source for source in named if not _source_exists(source))


def _source_exists(source: str) -> bool:
    package, _, rest = source.partition("/")
    found = importlib.util.find_spec(package)
    return found is not None and found.origin is not None and (Path(found.origin).parent / rest).exists()


def _outside_state(name: str) -> list[object]:
    """What decides the outcome outside of packages; nothing for a method that is all packages."""
    if not name:
        return []
    return [outside_of(name).state()]


def outside_of(name: str) -> Any:
    """The object that `MethodSpec.state` names."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def hash_sources(sources: Iterable[str]) -> list[list[str]]:
    """Each source with the SHA-256 of its files, as in `MethodSpec.sources`."""
    hashes: list[list[str]] = []
    for source in sorted(sources):
        package, _, rest = source.partition("/")
        found = importlib.util.find_spec(package)
        origin = found.origin if found else None
        hashes.append([source, sha256_tree(Path(origin).parent, [rest or "."]) if origin else "absent"])
    return hashes
