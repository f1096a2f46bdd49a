"""Festival, which speaks several languages with voices made of recordings; out of process, as flite is."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from scipy.io import wavfile

from media.errors import AvatarBenchError
from reference_model.corpus.speech.segments import Segment, Spoken

__all__ = ["Festival"]

_DEFINITION = r"""
(define (avatarbench_say text wave)
  (let ((u (eval (list 'Utterance 'Text text))))
    (utt.synth u)
    (utt.save.wave u wave 'riff)
    (mapcar
      (lambda (s)
        (format t "%f|%s|%s|%s|%s\n" (item.feat s "end") (item.name s)
          (item.feat s "R:SylStructure.parent.stress")
          (item.feat s "R:SylStructure.parent.parent.name")
          (item.feat s "R:SylStructure.parent.parent.addr")))
      (utt.relation.items u 'Segment))))
"""
_END = "|end|"


class Festival:
    """Running Festival processes, one a voice.

    Args:
        voices: Festival's names, such as "ked_diphone".

    Raises:
        AvatarBenchError: E603, Festival or one of the voices is not installed.
    """

    def __init__(self, voices: list[str]) -> None:
        if shutil.which("festival") is None:
            raise AvatarBenchError("E603", "the program festival is missing", fix="apt install festival")
        listed = subprocess.run(
            ["festival", "--batch", "(print (voice.list))"], capture_output=True, text=True, check=False
        ).stdout
        missing = sorted(set(voices) - set(listed.strip().strip("()").split()))
        if missing:
            raise AvatarBenchError(
                "E603",
                "voices of Festival are missing",
                got=", ".join(missing),
                fix="install them as docs/model.md says under Training",
            )
        self._folder = tempfile.TemporaryDirectory(prefix="festival-")
        self._wave = Path(self._folder.name) / "spoken.wav"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}  # some voices do not work after others

    def close(self) -> None:
        """End the processes."""
        for process in self._processes.values():
            process.communicate()
        self._folder.cleanup()

    def say(self, text: str, voice: str, stretch: float, encoding: str) -> Spoken:
        """Speak; without segments when the voice cannot say the text.

        Args:
            text: What to say.
            voice: Festival's name.
            stretch: Length of the speech over the voice's own.
            encoding: In which the voice reads; letters that it lacks are left out.
        """
        quoted = text.replace("\\", " ").replace('"', " ")
        request = (
            f"(Parameter.set 'Duration_Stretch {stretch:.3f})\n"
            f'(avatarbench_say "{quoted}" "{self._wave}")\n(format t "{_END}\\n")\n(fflush nil)\n'
        ).encode(encoding, "ignore")
        self._wave.unlink(missing_ok=True)
        segments = self._ask(request, voice, encoding)
        if not segments or not self._wave.is_file():
            return Spoken(np.zeros(0, np.int16), 16_000, [])
        sample_rate, samples = wavfile.read(self._wave)
        return Spoken(samples, sample_rate, segments)

    def _ask(self, request: bytes, voice: str, encoding: str) -> list[Segment]:
        process = self._processes.get(voice)
        if process is None:
            process = self._processes[voice] = subprocess.Popen(
                ["festival", "--pipe"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            request = _DEFINITION.encode() + f"(voice_{voice})\n".encode() + request
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(request)
        process.stdin.flush()
        segments = []
        while line := process.stdout.readline().decode(encoding, "replace"):
            fields = line.rstrip("\n").split("|")
            if line.startswith(_END):
                return segments
            if len(fields) != len(Segment._fields):
                continue  # some voices print complaints
            end_s, name, stress, word, word_id = fields
            in_word = word_id not in ("", "0")
            stressed = stress not in ("", "0")
            segments.append(
                Segment(float(end_s), name, stressed, *((word, word_id) if in_word else ("", "")))
            )
        del self._processes[voice]  # an error ends Festival
        return []
