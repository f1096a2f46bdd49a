"""Splits: stable, deterministic, and never the same bytes on both sides."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.hashing import derive_seed
from benchmark.manifest import Clip, Dataset, load_dataset
from benchmark.splits import SPLITS, Split, identity_holdout_10, split_dataset, unseen_identity
from media.errors import AvatarBenchError


def clip(identity: str, number: int, **changes: object) -> Clip:
    values = {"id": f"{identity}_{number}", "identity": identity, "media": f"{identity}/{number}.mp4"}
    return Clip.model_validate(values | {"sha256": f"{derive_seed(number, identity):064x}"} | changes)


def dataset(*clips: Clip) -> Dataset:
    return Dataset(id="made", root=Path(), clips=tuple(sorted(clips, key=lambda clip: clip.id)))


def people(count: int, clips: int = 3) -> list[Clip]:
    return [clip(f"p{person:04d}", number) for person in range(count) for number in range(clips)]


def sides(split: Split) -> dict[str, str]:
    return {c.id: "test" for c in split.test} | {c.id: "train" for c in split.train}


def test_the_mini_data_set_is_split_as_ever():
    """The clips that the published numbers of the mini data set were measured on."""
    split = identity_holdout_10(load_dataset())
    tested = """
        mini01-t1-07 mini02-t1-01 mini03-t1-06 mini04-t1-01 mini05-t1-04 mini06-t4-09
        mini07-t1-04 mini08-t2-02 mini09-t3-02 mini10-t1-06 mini11-t4-05 mini12-t1-03
    """
    assert [c.id for c in split.test] == tested.split()
    assert split.notes == ()


@pytest.mark.parametrize("name", SPLITS)
def test_every_clip_stands_on_one_side_whatever_the_order_of_the_manifest(name: str):
    clips = people(30)
    split = SPLITS[name](dataset(*clips))
    assert len(split.test) + len(split.train) == len(sides(split)) == 90
    backwards = SPLITS[name](Dataset(id="made", root=Path(), clips=tuple(reversed(clips))))
    assert sides(backwards) == sides(split)


def test_whole_identities_are_unseen_about_a_tenth_of_them():
    split = unseen_identity(dataset(*people(1000, 2)))
    tested, trained = ({c.identity for c in part} for part in (split.test, split.train))
    assert not tested & trained
    assert 70 <= len(tested) <= 130  # 100 expected, binomial sigma 9.5


@pytest.mark.parametrize("count", [1, 2, 5])
def test_at_least_one_identity_is_unseen(count: int):
    split = unseen_identity(dataset(*people(count)))
    assert len({c.identity for c in split.test}) >= 1
    assert ("nothing is left to train on" in " ".join(split.notes)) == (count == 1)


def test_neither_clips_nor_identities_that_are_added_move_an_identity():
    before = sides(unseen_identity(dataset(*people(100))))
    after = sides(unseen_identity(dataset(*people(300, 5))))
    assert before == {name: after[name] for name in before}


def test_only_the_stand_in_makes_room_for_an_identity_with_a_lower_hash():
    """While nobody is in the lowest tenth, the lowest is tested; it is the only one that may move."""
    moves = []
    for count in range(1, 60):
        before, after = (sides(unseen_identity(dataset(*people(n, 1)))) for n in (count, count + 1))
        moves += [(before[name], after[name]) for name in before if before[name] != after[name]]
    assert set(moves) == {("test", "train")}
    assert len(moves) < 5


@pytest.mark.parametrize("name", SPLITS)
def test_clips_of_one_recording_stand_on_one_side(name: str):
    clips = [
        clip(
            "ada", number, recording=f"take{number // 10}", media=f"take{number // 10}.mp4",
            sha256=f"{number // 10:064x}", start_s=5.0 * (number % 10), duration_s=5.0,
        )
        for number in range(300)
    ]  # fmt: skip
    split = SPLITS[name](dataset(*clips, *people(20)))
    recordings = [{c.recording for c in part if c.identity == "ada"} for part in (split.test, split.train)]
    assert not recordings[0] & recordings[1]


def test_a_tenth_of_the_recordings_is_held_out_and_added_clips_follow_their_recording():
    def cut(per_take: int) -> list[Clip]:
        return [
            clip(
                "ada", 100 * take + part, recording=f"take{take}", media=f"{take}.mp4", sha256=f"{take:064x}"
            )
            for take in range(200)
            for part in range(per_take)
        ]

    before, after = (sides(identity_holdout_10(dataset(*cut(n)))) for n in (2, 7))
    assert before == {name: after[name] for name in before}
    assert 10 <= sum(side == "test" for side in before.values()) / 2 <= 34  # 20 of 200 takes, sigma 4.2


def leak(name: str, **same: object) -> Dataset:
    """Two clips on two sides with something in common."""
    clips = people(40)
    split = SPLITS[name](dataset(*clips))
    one, other = split.test[0], next(c for c in split.train if c.identity != split.test[0].identity)
    changed = {one.id, other.id}
    return dataset(*(Clip.model_validate(c.model_dump() | (same if c.id in changed else {})) for c in clips))


@pytest.mark.parametrize("name", SPLITS)
@pytest.mark.parametrize("same", ["video", "sound"])
def test_equal_bytes_under_other_names_and_people_are_refused(name: str, same: str):
    shared = {"sha256": "a" * 64} if same == "video" else {"audio": "x.wav", "audio_sha256": "b" * 64}
    with pytest.raises(
        AvatarBenchError, match=r"E403: the clips '.*' \(test\) and '.*' \(train\) are the same"
    ):
        SPLITS[name](leak(name, **shared))


def test_stretches_of_one_file_need_the_name_of_their_recording():
    parts = [
        clip("ada", n, sha256="a" * 64, media="film.mp4", start_s=5.0 * n, duration_s=5.0) for n in range(12)
    ]
    with pytest.raises(AvatarBenchError, match="E403") as refused:
        identity_holdout_10(dataset(*parts))
    assert '"recording"' in str(refused.value)
    named = [part.model_copy(update={"recording": "film"}) for part in parts]
    split = identity_holdout_10(dataset(*named, *(clip("ada", n) for n in range(100, 110))))
    assert len({c.source for c in split.test} & {c.source for c in split.train}) == 0


def test_identities_with_a_single_clip_are_named_and_many_are_counted():
    few = identity_holdout_10(dataset(clip("solo", 1), *people(2)))
    assert few.notes[0].startswith("'solo' has a single clip")
    many = identity_holdout_10(dataset(*people(50, 1)))
    assert len(many.notes) == 1 and many.notes[0].startswith("50 identities have a single clip")
    assert len(many.test) == 50
    unseen = unseen_identity(dataset(*people(1, 1)))
    assert "'p0000' is tested on its single clip." in unseen.notes


def test_an_unknown_split_gets_the_nearest_name():
    with pytest.raises(
        AvatarBenchError, match=r"E504: unknown split 'unseen'\. Did you mean 'unseen-identity'"
    ):
        split_dataset(dataset(*people(2)), "unseen")
