"""The corpus pipeline: stages are resumed, redone only where an input changed, and redrawn when a filter rejects.

The stages are small stand-ins that write files; `test_corpus_chain.py` runs the real ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from benchmark.manifest import Clip, Dataset, load_dataset
from benchmark.splits import identity_holdout_10
from media.errors import AvatarBenchError
from reference_model.cli import main
from reference_model.corpus.pipeline import stages
from reference_model.corpus.pipeline.clip_keys import MOST_REDRAWS, attempt_of, filter_key, filter_records
from reference_model.corpus.pipeline.content_cache import content_key, source_version, write_json
from reference_model.corpus.pipeline.manifest import export_dataset, rejected_clips
from reference_model.corpus.pipeline.plan import PRESETS, Corpus, CorpusSpec, open_corpus, plan_corpus

SPEC = CorpusSpec(n_people=2, n_clips=3, seed=1)


class Studio:
    """Stand-ins for the stages: each output is a text of its inputs; every call is written down."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.rejects: Callable[[str, int], bool] = lambda clip, attempt: False
        self.dies_at: tuple[str, str] | None = None

    def stage(self, real: stages._Stage) -> stages._Stage:
        def make(corpus: Corpus, items: Sequence[str], advance: Callable, **_: object) -> None:
            for item in items:
                self.calls.append((real.name, item))
                if (real.name, item) == self.dies_at:
                    raise KeyboardInterrupt
                if real.name == "filters":
                    self.judge(corpus, item)
                else:
                    self.write(corpus, real, item)

        return replace(real, make=make)

    def write(self, corpus: Corpus, real: stages._Stage, item: str) -> None:
        for path in real.outputs(corpus, item):
            path.parent.mkdir(exist_ok=True)
            told = {"text": "Hi.", "language": "en-us", "voice": {"name": "en-us+f1"}, "times": "espeak-ng"}
            attempt = 0 if real.per_person or real.name == "speech" else attempt_of(corpus, item)
            path.write_text(json.dumps(told | {"item": item, "stage": real.name, "attempt": attempt}))

    def judge(self, corpus: Corpus, clip: str) -> None:
        attempt = attempt_of(corpus, clip)
        bad = self.rejects(clip, attempt)
        record = {
            "attempt": attempt,
            "key": filter_key(corpus, clip, attempt),
            "passed": not bad,
            "reasons": [],
        }
        write_json(corpus.path("filters", clip, "json"), [*filter_records(corpus, clip)[:attempt], record])


@pytest.fixture
def studio(monkeypatch: pytest.MonkeyPatch) -> Studio:
    made = Studio()
    watched = tuple(made.stage(stage) for stage in stages._ITEM_STAGES)
    monkeypatch.setattr(stages, "_ITEM_STAGES", watched)
    monkeypatch.setattr(stages, "_BY_NAME", {stage.name: stage for stage in watched})

    def utterances(corpus: Corpus, advance: Callable) -> None:
        made.calls.append(("utterances", "all"))
        rows = (json.dumps({"clip": clip, "text": "Hi."}) for clip in corpus.clips)
        (corpus.folder / "utterances.jsonl").write_text("\n".join(rows))

    monkeypatch.setattr(stages, "make_utterances", utterances)
    return made


def create(folder: Path, spec: CorpusSpec = SPEC, only: Sequence[str] = stages.STAGES) -> Corpus:
    corpus = open_corpus(folder, spec)
    stages.create_corpus(corpus, lambda *_: None, stages=only)
    return corpus


def test_a_finished_corpus_is_a_data_set_of_the_benchmark(studio: Studio, tmp_path: Path) -> None:
    corpus = create(tmp_path / "corpus")
    dataset = load_dataset(corpus.folder)
    assert [clip.id for clip in dataset.clips] == sorted(corpus.clips)
    assert {clip.identity for clip in dataset.clips} == set(corpus.attributes)
    assert all(clip.attributes["sex"] in ("female", "male") for clip in dataset.clips)


def test_nothing_is_done_twice(studio: Studio, tmp_path: Path) -> None:
    create(tmp_path / "corpus")
    assert len(studio.calls) == len(set(studio.calls)) == 1 + 2 * 2 + 6 * 6
    studio.calls.clear()
    create(tmp_path / "corpus")
    assert studio.calls == []


def test_a_killed_run_goes_on_with_the_item_that_it_died_at(studio: Studio, tmp_path: Path) -> None:
    clips = list(open_corpus(tmp_path / "corpus", SPEC).clips)
    studio.dies_at = ("drawing", clips[3])
    with pytest.raises(KeyboardInterrupt):
        create(tmp_path / "corpus")
    studio.calls.clear()
    studio.dies_at = None
    create(tmp_path / "corpus")
    assert [item for stage, item in studio.calls if stage == "drawing"] == clips[3:]
    assert not [call for call in studio.calls if call[0] in ("speech", "people", "motion")]


def test_a_lost_file_is_made_again_and_nothing_else(studio: Studio, tmp_path: Path) -> None:
    corpus = create(tmp_path / "corpus")
    clip = list(corpus.clips)[2]
    corpus.path("clips", clip, "mp4").unlink()
    studio.calls.clear()
    create(tmp_path / "corpus")
    assert studio.calls == [("clips", clip)]


def test_a_rejected_clip_is_redrawn_with_its_next_seed(studio: Studio, tmp_path: Path) -> None:
    clip = list(open_corpus(tmp_path / "corpus", SPEC).clips)[1]
    studio.rejects = lambda name, attempt: name == clip and attempt < 2
    corpus = create(tmp_path / "corpus")
    assert [item for stage, item in studio.calls if stage == "motion"].count(clip) == 3
    assert [stage for stage, item in studio.calls if item == clip].count("speech") == 1
    assert json.loads(corpus.path("clips", clip, "mp4").read_text())["attempt"] == 2
    line = next(line for line in load_dataset(corpus.folder).clips if line.id == clip)
    assert line.attributes["attempt"] == 2
    assert line.attributes["seed"] == str(corpus.seed_of(clip, 2)) != str(corpus.seed_of(clip, 0))


def test_a_clip_that_never_passes_is_listed_and_left_out(studio: Studio, tmp_path: Path) -> None:
    clip = next(iter(open_corpus(tmp_path / "corpus", SPEC).clips))
    studio.rejects = lambda name, attempt: name == clip
    corpus = create(tmp_path / "corpus")
    assert rejected_clips(corpus) == [clip]
    assert clip not in {line.id for line in load_dataset(corpus.folder).clips}
    told = [json.loads(line) for line in (corpus.folder / "filters.jsonl").read_text().splitlines()]
    assert [len(row["attempts"]) for row in told if row["clip"] == clip] == [1 + MOST_REDRAWS]
    studio.calls.clear()
    create(tmp_path / "corpus")
    assert studio.calls == []


def test_a_stage_runs_alone_and_says_what_it_lacks(studio: Studio, tmp_path: Path) -> None:
    with pytest.raises(AvatarBenchError, match="'motion' needs the stage 'speech' first") as caught:
        create(tmp_path / "corpus", only=("motion",))
    assert caught.value.code == "E407"
    for stage in ("utterances", "speech"):
        create(tmp_path / "corpus", only=(stage,))
    assert {stage for stage, _ in studio.calls} == {"utterances", "speech"}


def test_a_video_model_replaces_body_motion_and_truth(studio: Studio, tmp_path: Path) -> None:
    spec = replace(SPEC, portrait_model=str(tmp_path), video_command="make {image} {audio} {out}")
    (tmp_path / "model_index.json").write_text("{}")
    corpus = create(tmp_path / "corpus", spec)
    assert {stage for stage, _ in studio.calls} == {"utterances", "speech", "portraits", "clips", "filters"}
    assert not any(clip.attributes["made"] for clip in load_dataset(corpus.folder).clips)


def test_other_options_do_not_mix_into_a_corpus(tmp_path: Path) -> None:
    open_corpus(tmp_path / "corpus", SPEC)
    with pytest.raises(AvatarBenchError, match="seed=1") as caught:
        open_corpus(tmp_path / "corpus", replace(SPEC, seed=2))
    assert caught.value.code == "E407"
    assert open_corpus(tmp_path / "corpus").spec == SPEC


def test_two_processes_do_not_work_on_one_corpus(studio: Studio, tmp_path: Path) -> None:
    corpus = open_corpus(tmp_path / "corpus", SPEC)
    with stages._only_process(corpus.folder), pytest.raises(AvatarBenchError) as caught:
        create(tmp_path / "corpus")
    assert caught.value.code == "E604"


@pytest.mark.parametrize("preset", PRESETS)
def test_the_split_tests_exactly_one_clip_of_each_person(preset: str) -> None:
    corpus = plan_corpus(Path(), PRESETS[preset])
    lines = [
        Clip(id=clip.id, identity=clip.person, media=clip.id, sha256=f"{number:064x}")
        for number, clip in enumerate(corpus.clips.values())
    ]
    split = identity_holdout_10(Dataset(id=preset, root=Path(), clips=tuple(lines)))
    assert len(split.test) == corpus.spec.n_people
    assert {clip.id for clip in split.test} == {clip.id for clip in corpus.clips.values() if clip.is_test}


def test_an_export_holds_clips_and_manifest_and_drops_the_edition_before(
    studio: Studio, tmp_path: Path
) -> None:
    out = tmp_path / "data"
    (out / "clips").mkdir(parents=True)
    (out / "clips" / "woman-1.mp4").write_text("old")
    corpus = create(tmp_path / "corpus")
    size = export_dataset(corpus, out)
    assert [clip.id for clip in load_dataset(out).clips] == sorted(corpus.clips)
    assert not (out / "clips" / "woman-1.mp4").exists() and not (out / "truth").exists()
    assert size == sum(path.stat().st_size for path in out.rglob("*") if path.is_file())


def test_seeds_of_people_clips_attempts_and_splits_differ() -> None:
    train = Corpus(Path(), SPEC, {}, {})
    mini = Corpus(Path(), replace(SPEC, split="mini"), {}, {})
    seeds = [c.seed_of(name, attempt) for c in (train, mini) for name in "ab" for attempt in range(3)]
    assert len(set(seeds)) == 12 and all(0 <= seed < 2**63 for seed in seeds)


def test_a_source_version_covers_what_a_module_imports(tmp_path: Path) -> None:
    assert source_version("reference_model.corpus.speech.visemes") != source_version(
        "reference_model.corpus.motion.animator"
    )
    assert source_version("json") == source_version("ast")  # nothing of this project
    assert content_key(a=1, b=[2.0]) == content_key(b=[2.0], a=1) != content_key(a=1, b=[2.5])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--preset", "maxi"], "E504: there is no such preset"),
        (["--stage", "dance"], "E504: there is no such stage"),
        (["--size", "97x128"], "E504: '97x128' is not a size"),
        (["--tts-command", "say {text}"], "E504: the command does not say"),
        (["--portrait-model", "/nowhere"], "E504: a portrait from a picture model has no body"),
        (["--preset", "mini", "--utterances-command", "llm"], "E504: the texts of a preset are fixed"),
    ],
)
def test_mistakes_are_told_before_any_work(arguments: list[str], told: str, tmp_path: Path, capsys) -> None:
    assert main(["corpus", "create", "--out", str(tmp_path / "corpus"), *arguments]) == 3
    assert told in capsys.readouterr().err
    assert not (tmp_path / "corpus").exists()
