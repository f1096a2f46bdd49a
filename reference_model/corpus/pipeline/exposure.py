"""How light the faces of a corpus are, by stratum: `python -m reference_model.corpus.pipeline.exposure --corpus DIR`.

From what the filters measured on the encoded clips, rejected ones too, so that a stratum whose pictures come out too
dark or too light is seen before its people are missing from the data.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from media.errors import AvatarBenchError
from reference_model.corpus.pipeline.clip_keys import filter_records
from reference_model.corpus.pipeline.plan import Corpus, open_corpus

__all__ = ["exposure_table", "main"]

_STRATA = ("skin_tone", "sex", "age_stratum", "build", "light")


def exposure_table(corpus: Corpus) -> str:
    """Face luminance of each value of each stratified attribute, in Markdown.

    Luminance is the mean linear luminance (0 to 1) of the face's convex hull over the sampled frames of a clip, of the
    last attempt; "burnt" is the largest share of the face's pixels at 250 or more in all channels.

    Raises:
        AvatarBenchError: E407 when no clip of the corpus has been filtered.
    """
    measured: dict[tuple[str, str], list[tuple[float, float, bool]]] = defaultdict(list)
    for clip in corpus.clips.values():
        records = filter_records(corpus, clip.id)
        if not records or records[-1]["measures"]["face_luminance"] is None:
            continue
        last, person = records[-1], corpus.attributes[clip.person]
        found = (last["measures"]["face_luminance"], last["measures"]["clipped_share"], last["passed"])
        for name in _STRATA:
            measured[name, str(getattr(person, name))].append(found)
    if not measured:
        raise AvatarBenchError(
            "E407",
            "no clip of the corpus has been filtered",
            where=corpus.folder,
            fix="run avatar corpus create with the stage filters first",
        )
    lines = [
        "| stratum | clips | passed | luminance: 5th, 50th, 95th percentile | burnt, most |",
        "|---" * 5 + "|",
    ]
    for (name, value), found in sorted(
        measured.items(), key=lambda item: (_STRATA.index(item[0][0]), item[0][1])
    ):
        light, burnt, passed = (np.array(column) for column in zip(*found, strict=True))
        told = " ".join(f"{level:.3f}" for level in np.percentile(light, [5, 50, 95]))
        lines.append(f"| {name} {value} | {len(found)} | {passed.sum()} | {told} | {burnt.max():.3f} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Print the table; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--corpus", type=Path, required=True, help="folder of a corpus")
    options = parser.parse_args(arguments)
    try:
        sys.stdout.write(exposure_table(open_corpus(options.corpus)) + "\n")
    except AvatarBenchError as error:
        sys.stderr.write(f"{error}\n")
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
