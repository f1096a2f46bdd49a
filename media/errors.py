"""The one error that a user can cause, with stable codes."""

from __future__ import annotations

from functools import partial
from pathlib import Path

__all__ = ["CODES", "NOTES", "AvatarBenchError"]

CODES: dict[str, str] = {
    "E101": "the file is not an image that can be read",
    "E102": "no person was found in the image",
    "E103": "no face was found in the image",
    "E104": "the image is too small",
    "E201": "the sound cannot be read",
    "E202": "the file has no sound",
    "E203": "the sound is silent",
    "E204": "the sound is too short",
    "E205": "the sound is too long",
    "E206": "the video cannot be read",
    "E301": "the .avatar file is broken",
    "E302": "the .avatar file is of a newer format",
    "E401": "the data set is missing or empty",
    "E402": "a clip of the data set cannot be read",
    "E403": "the same bytes stand in the train and in the test split",
    "E404": "a line of the manifest is not right",
    "E405": "a data set does not have the published layout",
    "E406": "the data set has no other clip that a control needs",
    "E407": "the folder is not the corpus that was asked for",
    "E501": "unknown method",
    "E502": "weights are missing or damaged",
    "E503": "unknown protocol",
    "E504": "an option has a value that is not allowed",
    "E505": "results that were made differently cannot be compared",
    "E506": "the test is too small to tell anything",
    "E601": "the disk is full",
    "E602": "the output cannot be written",
    "E603": "an optional package is missing",
    "E604": "another process works on this run",
    "E605": "a job of the cluster or a process of a run died",
    "E606": "a command that the user gave failed",
    "E607": "the machine lacks the hardware that was asked for",
}
"""Every code a user can meet, with its one-line meaning. A code is never reused for another meaning."""

NOTES: dict[str, str] = {
    "N105": "several people are in the photograph; the largest was taken",
    "N106": "not both hands are in sight; what is hidden is guessed",
}
"""What a user is told while the work goes on."""


class AvatarBenchError(Exception):
    """Something that the user can put right; programs show it without a traceback and exit with 3.

    Args:
        code: A key of `CODES`.
        what: What went wrong, as a sentence.
        where: The file, folder or option concerned.
        expected: What would have been right.
        got: What was found instead.
        fix: What to do next.
    """

    def __init__(
        self,
        code: str,
        what: str,
        *,
        where: str | Path | None = None,
        expected: str | None = None,
        got: str | None = None,
        fix: str | None = None,
    ) -> None:
        if code not in CODES:
            raise ValueError(f"{code!r} is not a registered error code")
        self.code = code
        self.what = what
        self.where = None if where is None else str(where)
        self.expected = expected
        self.got = got
        self.fix = fix
        super().__init__(str(self))

    def __reduce__(self) -> tuple[partial[AvatarBenchError], tuple[()]]:
        """Come home whole from another process."""
        names = ("where", "expected", "got", "fix")
        fields = {name: getattr(self, name) for name in names}
        return partial(AvatarBenchError, self.code, self.what, **fields), ()

    def __str__(self) -> str:
        lines = [f"{self.code}: {self.what}"]
        details = (
            ("where", self.where),
            ("expected", self.expected),
            ("got", self.got),
            ("what to do", self.fix),
        )
        lines += [f"  {name}: {value}" for name, value in details if value is not None]
        return "\n".join(lines)
