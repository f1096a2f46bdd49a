"""Other people's tools as stages: commands never pass a shell, and what goes wrong is told."""

from __future__ import annotations

import shlex
import sys

import numpy as np
import pytest

from media.errors import AvatarBenchError
from reference_model.corpus.people.attributes import sample_attributes
from reference_model.corpus.pipeline.external import (
    ask_for_lines,
    check_template,
    diffusion_portrait,
    output_of_command,
    portrait_prompt,
    run_command,
    time_like,
)
from reference_model.corpus.speech.synthesis import Utterance


def script(code: str, *arguments: str) -> str:
    return shlex.join([sys.executable, "-c", code, *arguments])


def test_a_value_stays_one_argument_whatever_characters_it_has() -> None:
    text = 'It\'s "5 > 3"; $(rm -rf x) {out} & more'
    answer = run_command("--x", script("import sys; print(len(sys.argv), sys.argv[1])", "{text}"), text=text)
    assert answer.strip() == f"2 {text}"


def test_a_failing_command_is_told_with_its_message() -> None:
    with pytest.raises(AvatarBenchError, match="no such voice") as caught:
        run_command("--tts-command", script("import sys; sys.exit('no such voice')"))
    assert caught.value.code == "E606"
    with pytest.raises(AvatarBenchError, match="cannot be started"):
        run_command("--tts-command", "no-such-program-anywhere {text}")


def test_a_command_that_writes_nothing_is_refused() -> None:
    with (
        pytest.raises(AvatarBenchError, match="wrote no file"),
        output_of_command("--tts-command", script("pass", "{out}"), ".wav"),
    ):
        pass


@pytest.mark.parametrize("template", ["", "say {text}", "say 'unbalanced {text} {out}"])
def test_a_template_without_its_places_is_refused_before_any_work(template: str) -> None:
    with pytest.raises(AvatarBenchError) as caught:
        check_template("--tts-command", template, ("text", "out"))
    assert caught.value.code == "E504"


def test_a_language_models_list_becomes_plain_sentences() -> None:
    code = "import sys; p = sys.stdin.read(); print('1. Hello there.\\n\\n- \"Good day.\"\\n* Hello there.\\n', p)"
    assert ask_for_lines("--u", script(code), "Say it.") == ["Hello there.", "Good day.", "Say it."]


def test_estimated_times_begin_and_end_with_the_other_voices_speech() -> None:
    reference = Utterance(np.ones(16_000, np.float32), [(0.0, "h"), (0.5, "aɪ")], [(0.0, "Hi")], "Hi")  # 1 s
    samples = np.zeros(40_000, np.float32)
    samples[8_000:40_000] = 0.5  # speech from 0.5 s to 2.5 s
    timed = time_like(reference, samples)
    assert [start for start, _ in timed.phonemes] == pytest.approx([0.5, 1.5, 2.5], abs=1e-3)
    assert timed.words[0][0] == pytest.approx(0.5, abs=1e-3)
    with pytest.raises(AvatarBenchError) as caught:
        time_like(reference, np.zeros(16_000, np.float32))
    assert caught.value.code == "E203"


def test_a_prompt_names_the_attributes_and_asks_for_visible_hands() -> None:
    for person in sample_attributes(12, 0, split="train"):
        prompt = portrait_prompt(person)
        assert ("woman" in prompt) == (person.sex == "female")
        assert person.build in prompt and person.bottom in prompt and "both hands" in prompt
        assert ("glasses" in prompt) == person.glasses


def test_a_folder_that_is_no_pipeline_is_refused_without_a_download(tmp_path) -> None:
    with pytest.raises(AvatarBenchError) as caught:
        diffusion_portrait(tmp_path, "a person", 0, 64, 64)
    assert caught.value.code == "E502"
