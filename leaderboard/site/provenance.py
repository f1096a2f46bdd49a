"""What stands behind a line of a table, as facts for people."""

from __future__ import annotations

from collections.abc import Iterator

from leaderboard.entries import LoadedEntry
from leaderboard.site.model import Fact

__all__ = ["provenance"]


def provenance(loaded: LoadedEntry) -> tuple[Fact, ...]:
    """Who, what, by which bytes, where, and what verification found."""
    return tuple(_facts(loaded))


def _facts(loaded: LoadedEntry) -> Iterator[Fact]:
    entry, method = loaded.entry, loaded.method
    yield Fact("Entry", entry.entry_id, mono=True)
    yield Fact("Submitted", f"{entry.submission.date} by {entry.submission.submitter}")
    yield Fact("Verification", verification_text(loaded))
    yield Fact(
        "Trained on test clips", "yes" if entry.submission.test_data_seen else "no, says the submitter"
    )
    yield Fact("Method", f"{method.id} {method.version}")
    yield Fact("Method's code and weights", method.fingerprint, mono=True)
    yield Fact("Run", entry.result.run_id, mono=True)
    yield Fact("Release", f"avatarbench {entry.result.package_version}{_checkout(loaded)}")
    yield Fact("Protocol", f"{entry.result.protocol_id}, {entry.result.protocol_sha256}", mono=True)
    yield Fact("Data set", f"{entry.result.dataset.id}, {entry.result.dataset.sha256}", mono=True)
    yield Fact(
        "Split", f"{entry.result.split}, {entry.result.n_samples} clips of {entry.result.n_identities} people"
    )
    yield Fact("Seed", str(entry.result.seed))
    yield Fact("Machine", _machine(loaded))
    if entry.speed.real_time_factor is not None:
        yield Fact("Speed (not verified)", f"{entry.speed.real_time_factor:.3g} s a second of video")
    yield Fact("Rows", entry.result.samples_sha256, mono=True)
    yield Fact("Digest", loaded.digest, mono=True)
    for note in entry.result.notes:
        yield Fact("Note of the run", note)


def verification_text(loaded: LoadedEntry) -> str:
    """What the badge rests on, in one sentence."""
    found = loaded.verification
    if found is None:
        return "none: the numbers are the submitter's word"
    if found.findings:
        return "; ".join(f"{finding.code} {finding.what}" for finding in found.findings)
    if found.audit is not None and found.badge == "audited":
        audit = found.audit
        return (
            f"{found.date}: {audit.n_audited} of {audit.n_samples} predictions, drawn at random, "
            "were measured again and agree"
        )
    return f"{found.date}: all numbers follow from the submitted rows and features"


def _checkout(loaded: LoadedEntry) -> str:
    state = loaded.entry.environment.checkout
    if state.commit is None:
        return ""
    return f", commit {state.commit[:12]}{' with changes' if state.dirty else ''}"


def _machine(loaded: LoadedEntry) -> str:
    hardware = loaded.entry.environment.hardware
    parts = [
        loaded.entry.result.device,
        hardware.cpu or hardware.machine,
        *(gpu.name for gpu in hardware.gpus),
    ]
    return ", ".join(parts)
