"""Speak with espeak-ng in a process of its own; a script to be started by `speech.SpeechSynthesizer`.

espeak-ng is under the GPL, so the library is loaded here and nowhere else: the two programs exchange plain
data over pipes. One request is one line of JSON on standard input

    {"text": str, "voice": str, "rate": int, "pitch": int, "pitch_range": int}

and its answer is one line of JSON on standard output, followed by `n_samples` samples of 16-bit sound:

    {"sample_rate": int, "n_samples": int, "phonemes": [[seconds, ipa]], "words": [[seconds, start, length]]}

or `{"error": str}` and no sound. Word positions count characters of the text from 0.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from typing import Any

import espeakng_loader

_OUTPUT_SYNCHRONOUS = 2
_PHONEME_EVENTS, _PHONEME_IPA, _DONT_EXIT = 1, 2, 0x8000
_POSITION_CHARACTER, _CHARS_UTF8 = 1, 1
_RATE, _PITCH, _RANGE = 1, 3, 4
_EVENT_END, _EVENT_WORD, _EVENT_PHONEME = 0, 1, 7


class _EventId(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # counted from 1
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # ms
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


class _Espeak:
    """The loaded library, collecting the sound and events of one request at a time."""

    def __init__(self, data_folder: str) -> None:
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        options = _PHONEME_EVENTS | _PHONEME_IPA | _DONT_EXIT
        self.sample_rate = self._library.espeak_Initialize(
            _OUTPUT_SYNCHRONOUS, 0, data_folder.encode(), options
        )
        if self.sample_rate <= 0:
            raise RuntimeError(f"espeak-ng does not start with the data folder {data_folder}")
        # Otherwise breath and whisper are seeded by the clock.
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        self._library.espeak_ListVoices(None)  # reads all voice files once, so that no request has to
        self._library.espeak_Synth.argtypes = (
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.c_uint,
            ctypes.c_int,
            ctypes.c_uint,
            ctypes.c_uint,
            ctypes.c_void_p,
            ctypes.c_void_p,
        )
        self._sound = bytearray()
        self._phonemes: list[tuple[float, str]] = []
        self._words: list[tuple[float, int, int]] = []
        # The library keeps only the address: this attribute keeps the function alive.
        self._callback = _Callback(self._collect)
        self._library.espeak_SetSynthCallback(self._callback)

    def _collect(self, sound: Any, n_samples: int, events: Any) -> int:
        if sound and n_samples > 0:
            self._sound += ctypes.string_at(sound, 2 * n_samples)
        index = 0
        while events[index].type != _EVENT_END:
            event = events[index]
            seconds = event.audio_position / 1000.0
            if event.type == _EVENT_PHONEME:
                # A union field of 8 bytes may end in the middle of a character.
                ipa = bytes(event.id.string).split(b"\0")[0].decode("utf-8", "ignore")
                self._phonemes.append((seconds, ipa))
            elif event.type == _EVENT_WORD:
                self._words.append((seconds, event.text_position - 1, event.length))
            index += 1
        return 0

    def speak(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """The header of the answer and the sound."""
        self._sound, self._phonemes, self._words = bytearray(), [], []
        # An unknown voice shows in the return code alone; the library would go on with the voice before.
        if self._library.espeak_SetVoiceByName(request["voice"].encode()) != 0:
            return {"error": f"espeak-ng has no voice {request['voice']!r}"}, b""
        for parameter, name in ((_RATE, "rate"), (_PITCH, "pitch"), (_RANGE, "pitch_range")):
            self._library.espeak_SetParameter(parameter, int(request[name]), 0)
        text = request["text"].encode()
        self._library.espeak_Synth(text, len(text) + 1, 0, _POSITION_CHARACTER, 0, _CHARS_UTF8, None, None)
        self._library.espeak_Synchronize()
        header = {
            "sample_rate": self.sample_rate,
            "n_samples": len(self._sound) // 2,
            "phonemes": self._phonemes,
            "words": self._words,
        }
        return header, bytes(self._sound)


def main() -> None:
    """Answer requests until standard input ends; the first argument is espeak-ng's data folder."""
    # The library writes complaints to standard output, which is the answers' channel: keep that apart.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    espeak = _Espeak(sys.argv[1])
    for line in sys.stdin:
        # espeak-ng carries noise generators and voice settings over from one text to the next. A copy of the
        # fresh process for each request makes the sound depend on the request alone.
        child = os.fork()
        if child == 0:
            header, sound = espeak.speak(json.loads(line))
            answers.write(json.dumps(header).encode() + b"\n" + sound)
            answers.flush()
            os._exit(0)
        if os.waitpid(child, 0)[1] != 0:
            raise RuntimeError(f"espeak-ng failed with {line!r}")


if __name__ == "__main__":
    main()
