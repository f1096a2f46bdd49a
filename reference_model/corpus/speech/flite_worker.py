"""Speak with flite in a process of its own; a script to be started by `flite.Flite`.

One request is one line of JSON on standard input

    {"text": str, "voice": "slt" | ..., "stretch": float}

and its answer is one line of JSON on standard output, followed by `n_samples` samples of 16-bit sound:

    {"sample_rate": int, "n_samples": int, "segments": [[end_s, name, stressed, word, word_id]]}

The arguments are the library's file and one file for each voice; "libflite_cmu_us_slt.so.1" holds the voice "slt".
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

_SYLLABLE, _WORD = b"R:SylStructure.parent", b"R:SylStructure.parent.parent"


class _Wave(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_char_p),
        ("sample_rate", ctypes.c_int),
        ("n_samples", ctypes.c_int),
        ("n_channels", ctypes.c_int),
        ("samples", ctypes.POINTER(ctypes.c_short)),
    )


class _Flite:
    """The loaded library and its voices."""

    def __init__(self, library: str, voices: list[str]) -> None:
        self._library = lib = ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)
        pointer, text = ctypes.c_void_p, ctypes.c_char_p
        for name, result, arguments in (
            ("flite_synth_text", pointer, (text, pointer)),
            ("flite_feat_set_float", None, (pointer, text, ctypes.c_float)),
            ("utt_relation", pointer, (pointer, text)),
            ("utt_wave", ctypes.POINTER(_Wave), (pointer,)),
            ("relation_head", pointer, (pointer,)),
            ("item_next", pointer, (pointer,)),
            ("item_feat_string", text, (pointer, text)),
            ("item_feat_float", ctypes.c_float, (pointer, text)),
            ("path_to_item", pointer, (pointer, text)),
        ):
            function = getattr(lib, name)
            function.restype, function.argtypes = result, arguments
        lib.flite_init()
        self._voices: dict[str, tuple[Any, Any]] = {}
        for path in voices:
            found = re.match(r"lib(flite_(cmu_us_(\w+)))\.so", Path(path).name)
            assert found, path
            register = getattr(ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL), f"register_{found[2]}")
            register.restype, register.argtypes = pointer, (text,)
            voice = register(None)
            features = ctypes.cast(voice + ctypes.sizeof(text), ctypes.POINTER(pointer))[0]
            self._voices[found[3]] = (voice, features)

    def speak(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """The header of the answer and the sound."""
        lib = self._library
        voice, features = self._voices[request["voice"]]
        lib.flite_feat_set_float(features, b"duration_stretch", request["stretch"])
        utterance = lib.flite_synth_text(request["text"].encode("ascii", "ignore"), voice)
        segments = []
        segment = lib.relation_head(lib.utt_relation(utterance, b"Segment"))
        while segment:
            syllable, word = lib.path_to_item(segment, _SYLLABLE), lib.path_to_item(segment, _WORD)
            stressed = bool(syllable) and lib.item_feat_string(syllable, b"stress") == b"1"
            spelling = lib.item_feat_string(word, b"name").decode("ascii", "replace") if word else ""
            name = lib.item_feat_string(segment, b"name").decode("ascii")
            end_s = lib.item_feat_float(segment, b"end")
            segments.append((end_s, name, stressed, spelling, str(word or "")))
            segment = lib.item_next(segment)
        wave = lib.utt_wave(utterance).contents
        sound = ctypes.string_at(wave.samples, 2 * wave.n_samples)
        header = {
            "sample_rate": wave.sample_rate,
            "n_samples": wave.n_samples,
            "segments": segments,
        }
        return header, sound


def main() -> None:
    """Answer requests until standard input ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    flite = _Flite(sys.argv[1], sys.argv[2:])
    for line in sys.stdin:
        # Its noise generators go on from one text to the next: a copy of the fresh process for each request makes the
        # sound depend on the request alone.
        child = os.fork()
        if child == 0:
            header, sound = flite.speak(json.loads(line))
            answers.write(json.dumps(header).encode() + b"\n" + sound)
            answers.flush()
            os._exit(0)
        if os.waitpid(child, 0)[1] != 0:
            raise RuntimeError(f"flite failed with {line!r}")


if __name__ == "__main__":
    main()
