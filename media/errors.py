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
    "E303": "a pretrained image model is not on this machine",
    "E304": "a pretrained image model is not the pinned one",
    "E305": "a checkpoint does not hold the network that was asked for",
    "E306": "a checkpoint is not a safetensors file",
    "E321": "a pretrained speech model is not on this machine",
    "E322": "a pretrained speech model is not the pinned one",
    "E323": "a transcript does not fit Whisper",
    "E324": "the file is not an SMPL-X model",
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
    "E701": "an external tool is not set up",
    "E702": "the settings of the external tools are not right",
    "E703": "the checkout of an external tool is not the one that was expected",
    "E704": "weights of an external tool are missing or damaged",
    "E705": "the licence notice of an external tool was not accepted",
    "E706": "the environment of an external tool cannot run it",
    "E707": "a path has characters that external tools cannot take",
    "E711": "an external tool ended with an error",
    "E712": "an external tool did not end in time",
    "E713": "an external tool ran out of GPU memory",
    "E714": "an external tool ended without its output",
    "E715": "an external tool cannot use this picture or sound",
    "E716": "an external tool was built for another generation of GPUs",
    "E717": "the method cannot do this clip",
    "E721": "the video of an external tool has the wrong length",
    "E722": "the video of an external tool has the wrong size",
    "E723": "the video of an external tool has the wrong frame rate",
    "E724": "the video of an external tool shows nothing, or stands still",
    "E725": "the video of an external tool cannot be decoded",
    "E726": "the video of an external tool does not begin as it should",
    "E731": "a method breaks the contract",
    "E732": "the declaration of an external method is wrong",
    "E741": "a motion file does not have the layout that was expected",
    "E742": "a motion is shorter than the clip that it must fill",
    "E743": "the anchor of a motion cannot be used",
    "E744": "the SMPL-X model file is missing or is not one",
    "E745": "the words of a clip and their times do not fit its sound",
    "E746": "the person of a true video could not be followed",
    "E801": "the folder is not an entry, or holds what an entry may not hold",
    "E802": "a file of an entry is too large",
    "E803": "a file of the leaderboard is not of this release's format",
    "E804": "a file of an entry is not the one that was packed",
    "E805": "the rows of an entry do not cover the run",
    "E806": "the numbers of an entry do not follow from its rows and features",
    "E807": "an entry was made with another protocol",
    "E808": "an entry was made with another data set, or with other clips of it",
    "E809": "a value of an entry is not finite, or not possible",
    "E810": "the features of an entry are not right",
    "E811": "a prediction is missing, or is not the one that was submitted",
    "E812": "a value was measured again and is another one",
    "E813": "the run cannot be submitted",
    "E814": "the entry stands already, or has changed since it was packed",
    "E815": "git cannot prepare the branch",
    "E821": "the gate has nothing to compare",
    "E822": "the reference of the gate cannot be used",
    "E823": "the limits of the gate are not right",
    "E841": "a file has no markers for the table of the leaderboard",
    "E842": "the folder is no site, and is not replaced by one",
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
