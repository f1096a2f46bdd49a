from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

from media.errors import AvatarBenchError
from reference_model.corpus.speech import synthesis
from reference_model.corpus.speech.synthesis import MAX_RANDOM_VARIANTS, SpeechSynthesizer, Utterance, Voice
from reference_model.corpus.speech.utterances import ENGLISH_ACCENTS, LATIN_LANGUAGES, sentences


def test_an_utterance_has_sound_phonemes_and_words_in_time(synthesizer):
    utterance = synthesizer.speak("Hello, my name is Anna.")
    assert utterance.samples.dtype == np.float32
    assert 1.0 < utterance.duration < 3.0
    assert [word for _, word in utterance.words] == ["Hello", "my", "name", "is", "Anna"]
    starts = [start for start, _ in utterance.phonemes]
    assert starts == sorted(starts) and 0 <= starts[0] and starts[-1] <= utterance.duration + 0.01
    assert "".join(ipa for _, ipa in utterance.phonemes).replace("ˈ", "").startswith("həloʊmaɪneɪm")


def test_the_sound_is_loud_in_vowels_and_quiet_in_stop_consonants(synthesizer):
    utterance = synthesizer.speak("papa papa papa papa", Voice("en-us", "f3", 120))
    bounds = [*utterance.phonemes, (utterance.duration, "")]
    level: dict[str, list[float]] = {"vowel": [], "stop": []}
    for (start, ipa), (end, _) in pairwise(bounds):
        piece = utterance.samples[int(start * 16_000) : int(end * 16_000)]
        if len(piece):
            level["stop" if ipa == "p" else "vowel"].append(float(np.abs(piece).mean()))
    assert np.median(level["vowel"]) > 3 * np.median(level["stop"])


def test_the_main_process_never_loads_the_library():
    code = (
        "import sys; from reference_model.corpus.speech.synthesis import SpeechSynthesizer\n"
        "with SpeechSynthesizer() as s: s.speak('hello')\n"
        "maps = open('/proc/self/maps').read()\n"
        "sys.exit('espeak' in maps or 'espeakng_loader' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_same_request_sounds_the_same(synthesizer):
    first, second = (synthesizer.speak("One two three.", Voice("en-us", "random03")) for _ in range(2))
    np.testing.assert_array_equal(first.samples, second.samples)


def test_random_voices_differ_from_one_another_and_repeat_with_their_seed(synthesizer):
    texts = {
        name: synthesizer.speak("One two three.", Voice("en-us", name)).samples
        for name in ("random00", "random01")
    }
    assert not np.array_equal(texts["random00"][:8000], texts["random01"][:8000])
    with SpeechSynthesizer(2, seed=0) as again, SpeechSynthesizer(2, seed=1) as other:
        voice = Voice("en-us", "random00")
        np.testing.assert_array_equal(again.speak("One two three.", voice).samples, texts["random00"])
        assert not np.array_equal(other.speak("One two three.", voice).samples, texts["random00"])


def test_every_language_of_the_corpus_can_be_spoken_beside_all_random_voices():
    wanted = {*ENGLISH_ACCENTS, *LATIN_LANGUAGES, *sentences()}
    with SpeechSynthesizer(MAX_RANDOM_VARIANTS) as full:
        durations = {
            language: full.speak("mama papa", Voice(language, "random89")).duration for language in wanted
        }
    assert min(durations.values()) > 0.3


def test_mandarin_has_its_own_sounds(synthesizer):
    utterance = synthesizer.speak("你好，很高兴见到你。", Voice("cmn"))
    assert any("ɕ" in ipa for _, ipa in utterance.phonemes)
    assert utterance.words[0][1] == "你"


@pytest.mark.parametrize("voice", [Voice("xx-nowhere"), Voice("en-us", "nobody")])
def test_an_unknown_voice_is_the_users_error(synthesizer, voice):
    with pytest.raises(AvatarBenchError) as caught:
        synthesizer.speak("hello", voice)
    assert caught.value.code == "E504"


def test_a_text_without_words_is_the_users_error(synthesizer):
    with pytest.raises(AvatarBenchError) as caught:
        synthesizer.speak("")
    assert caught.value.code == "E203"


def test_a_missing_package_is_named_with_what_to_install(monkeypatch):
    monkeypatch.setattr(synthesis.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(AvatarBenchError, match="pip install") as caught:
        SpeechSynthesizer()
    assert caught.value.code == "E603"


def test_padding_and_joining_keep_events_with_their_sound(synthesizer):
    one = synthesizer.speak("Pam.")
    padded = one.padded(0.5, 0.25)
    assert padded.duration == pytest.approx(one.duration + 0.75, abs=1e-3)
    assert padded.phonemes[0] == (0.0, "")
    assert padded.words[0][0] == pytest.approx(one.words[0][0] + 0.5)
    joined = Utterance.joined([padded, one])
    start = int(padded.duration * 16_000)
    np.testing.assert_array_equal(joined.samples[start : start + len(one.samples)], one.samples)
    assert joined.words[1][0] == pytest.approx(padded.duration + one.words[0][0])
