"""The stage "motion": each clip performed by the procedural animator in its person's own style."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict

import numpy as np

from reference_model.corpus.motion.motion_file import save_motion
from reference_model.corpus.pipeline.clip_keys import attempt_of
from reference_model.corpus.pipeline.content_cache import write_json
from reference_model.corpus.pipeline.draw_stage import load_person_of
from reference_model.corpus.pipeline.plan import Corpus
from reference_model.corpus.pipeline.speech import load_speech
from reference_model.innovations import sample_innovations

__all__ = ["make_motion"]


def make_motion(corpus: Corpus, clips: Sequence[str], advance: Callable[[str], None]) -> None:
    """Write `motion/CLIP.npz` (actions, rotations) and `motion/CLIP.json` (style, events, seed)."""
    from reference_model.corpus.motion.arm_reach import Physique
    from reference_model.corpus.motion.performer import perform
    from reference_model.corpus.motion.personal_style import draw_style
    from reference_model.corpus.motion.truth import speech_events

    (corpus.folder / "motion").mkdir(exist_ok=True)
    for clip in clips:
        name = corpus.clips[clip].person
        person = load_person_of(corpus, name)
        style = draw_style(corpus.attributes[name], np.random.default_rng(corpus.seed_of(name)))
        seed = corpus.seed_of(clip, attempt_of(corpus, clip))
        utterance = load_speech(corpus, clip)
        physique = Physique(person.rest, person.joints, person.rest_pose)
        innovations = sample_innovations(corpus.spec.n_frames, seed)
        motion, performance = perform(utterance, innovations, style, np.random.default_rng(seed), physique)
        save_motion(corpus.path("motion", clip, "npz"), motion)
        told = {"seed": seed, "style": asdict(style), "events": speech_events(utterance, performance)}
        write_json(corpus.path("motion", clip, "json"), told)
        advance(clip)
