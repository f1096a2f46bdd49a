"""`avatar drive --text`: texts become speech by espeak-ng or by the user's own program."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

from media.errors import AvatarBenchError
from media.video import probe
from reference_model.avatar.io import save_avatar
from reference_model.cli import _text_tokens, main
from reference_model.networks.model import MINI, AvatarModel, load_model
from reference_model.spoken_text import LEAD_S, TAIL_S, parse_voice, speak_text, with_times
from tests.template_avatar import template_avatar

WRITES_A_TONE = (
    "import sys, wave, array, math; w = wave.open(sys.argv[2], 'wb'); w.setparams((1, 2, 22050, 0, 'NONE', '')); "
    "n = 2205 * len(sys.argv[1].split()); "
    "w.writeframes(array.array('h', [int(9000 * math.sin(i / 9)) for i in range(n)]).tobytes())"
)
"""A synthesiser that says each word as 0.1 s of a tone, at a rate other than ours."""
COMMAND = f"{shlex.quote(sys.executable)} -c {shlex.quote(WRITES_A_TONE)} {{text}} {{out}}"


def test_espeak_speaks_with_silence_around_and_timed_phonemes():
    spoken = speak_text("Papa may buy.")
    lead, tail = round(LEAD_S * 16_000), round(TAIL_S * 16_000)
    assert not spoken.samples[:lead].any() and not spoken.samples[-tail:].any()
    assert np.abs(spoken.samples).max() > 0.05
    assert [word for _, word in spoken.words] == ["Papa", "may", "buy"]
    assert spoken.phonemes[0] == (0.0, "")
    assert LEAD_S <= spoken.phonemes[1][0] < LEAD_S + 0.1


def test_a_command_of_the_user_speaks_instead():
    text = "it's only; a 'test' $HOME"  # nothing of it reaches a shell
    spoken = speak_text(text, command=COMMAND)
    assert len(spoken.samples) == pytest.approx((0.5 + LEAD_S + TAIL_S) * 16_000, abs=2)
    assert not spoken.words
    timed = with_times(spoken)
    assert np.array_equal(timed.samples, spoken.samples)
    assert timed.phonemes[-1][0] == pytest.approx(LEAD_S + 0.5, abs=0.02)


def test_voices_are_languages_with_variants():
    assert (parse_voice("de+f3").language, parse_voice("de+f3").variant) == ("de", "f3")
    with pytest.raises(AvatarBenchError, match="E504: espeak-ng has no language"):
        speak_text("Hello.", parse_voice("klingon"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "E504: the avatar needs something to say"),
        (["--text", "Hi.", "speech.wav"], "E504: a recording and a text are given"),
        (["--text", " ... "], "E504: the text has nothing to say"),
        (["--text", "Hi.", "--tts-command", "say {text}"], "{text}, {out}"),
        (["--text", "Hi.", "--tts-command", "no-such-program {text} {out}"], "E606"),
        (["--text", "Hi.", "--voice", "en-us+nobody"], "E504: espeak-ng has no variant"),
    ],
)
def test_what_cannot_be_spoken_is_refused_and_leaves_nothing(tmp_path: Path, capsys, arguments, message):
    assert main(["drive", "p.avatar", *arguments, "-o", str(tmp_path / "x.mp4")]) == 3
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_avatar_says_a_text(tmp_path: Path):
    save_avatar(tmp_path / "p.avatar", template_avatar(500))
    out = tmp_path / "x.mp4"
    arguments = ["--text", "One two three four", "--tts-command", COMMAND, "--size", "48x64", "-o", str(out)]
    assert main(["drive", str(tmp_path / "p.avatar"), *arguments]) == 0
    assert probe(out).n_frames == 32  # 0.24 + 0.4 + 0.64 s
    assert probe(out).has_audio


def test_the_shipped_model_reads_the_phonemes_of_the_text_and_one_that_only_hears_gets_none():
    spoken = speak_text("One two", command=COMMAND)
    assert _text_tokens(AvatarModel(MINI).eval(), spoken) is None
    reading = load_model()
    assert _text_tokens(reading, None) is None
    tokens = _text_tokens(reading, spoken)
    assert tokens is not None and tokens.features.shape[1] == tokens.start.shape[1] >= 5
    assert float(tokens.start[0, -1]) == pytest.approx((LEAD_S + 0.2) * 25, abs=1)
