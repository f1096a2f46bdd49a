from __future__ import annotations

from collections.abc import Iterator

import pytest

from reference_model.corpus.speech.synthesis import SpeechSynthesizer, Utterance, Voice


@pytest.fixture(scope="session")
def synthesizer() -> Iterator[SpeechSynthesizer]:
    with SpeechSynthesizer(n_random_variants=12, seed=0) as running:
        yield running


@pytest.fixture(scope="session")
def spoken(synthesizer: SpeechSynthesizer) -> Utterance:
    """Some seconds of English with many closures, and a pause before and after."""
    text = (
        "Maybe my baby boy will push five big beautiful moons. Hello, father, we saw her apple pie at home."
    )
    return synthesizer.speak(text, Voice("en-us", "f3", 150)).padded(0.8, 1.2)
