"""People to train the reconstruction on: bodies from Anny, kept as files, so that a GPU machine needs no Anny."""

from __future__ import annotations

from pathlib import Path

from reference_model.corpus.people.attributes import Split, sample_attributes

__all__ = ["HELD_OUT_SHARE", "people_files"]

HELD_OUT_SHARE = 8
"""One person in so many is held out, drawn from the split "heldout" with its unseen hair, cloth and light."""
_SPLITS: tuple[Split, Split] = ("train", "heldout")


def people_files(folder: Path, n_people: int, seed: int = 0) -> tuple[list[Path], list[Path]]:
    """Files of made people, to learn from and held out; those that are missing are made (needs the extra `train`).

    Args:
        folder: Where they stand.
        n_people: How many to learn from.
        seed: Of all of them.

    Returns:
        `n_people` files, and an eighth as many of other people.
    """
    counts = (n_people, max(1, n_people // HELD_OUT_SHARE))
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for split, count in zip(_SPLITS, counts, strict=True):
        paths = [folder / f"{split}-{count}-{seed}-{index:03d}.npz" for index in range(count)]
        found.append(paths)
        if all(path.is_file() for path in paths):
            continue
        from reference_model.corpus.people.bodies import make_body
        from reference_model.corpus.people.look import draw_look
        from reference_model.corpus.people.person import save_person

        for index, attributes in enumerate(sample_attributes(count, seed, split=split)):
            if not paths[index].is_file():
                own = 1000 * seed + 500 * _SPLITS.index(split) + index
                look = draw_look(attributes, own)
                save_person(paths[index], look, make_body(look.shape), own)
    return found[0], found[1]
