from __future__ import annotations

from collections.abc import Iterator

import pytest

from reference_model.corpus.pipeline.plan import Corpus, CorpusSpec, open_corpus
from reference_model.corpus.pipeline.stages import STAGES, create_corpus
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


@pytest.fixture(scope="session")
def talking_corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """One person with one clip of 60 pictures, 192x256 px, by the real stages up to the filters.

    Processors round differently, so the first seed's clip does not pass the filters on every one of them.
    """
    spec = CorpusSpec(n_people=1, n_clips=1, seed=0, clip_s=2.4, width=192, height=256)
    corpus = open_corpus(tmp_path_factory.mktemp("corpus"), spec)
    create_corpus(corpus, lambda *_: None, stages=STAGES[: STAGES.index("filters") + 1])
    return corpus
