"""`avatar corpus`: make people who talk, and the data sets of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from media.errors import AvatarBenchError

if TYPE_CHECKING:
    from reference_model.corpus.pipeline.plan import CorpusSpec

__all__ = ["corpus_app"]

corpus_app = typer.Typer(
    name="corpus",
    help="Make people who talk: attributes, utterances, speech, people, motion, clips, truth, filters, manifest.",
    no_args_is_help=True,
)


@corpus_app.command()
def create(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder of the corpus; an unfinished one goes on.")
    ],
    people: Annotated[int | None, typer.Option(min=1, help="Number of people.")] = None,
    clips: Annotated[int | None, typer.Option(min=1, help="Clips of each person.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random choice.")] = 0,
    preset: Annotated[
        str | None, typer.Option(help="mini or mini-heldout, data sets of the benchmark.")
    ] = None,
    stage: Annotated[
        str | None, typer.Option(help="Run one stage only; the earlier ones must stand.")
    ] = None,
    size: Annotated[str | None, typer.Option(help="Width x height; default 384x512.")] = None,
    seconds: Annotated[
        float | None, typer.Option(min=3.0, max=30.0, help="Length of a clip; default 4.4.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes that work side by side.")] = 1,
    device: Annotated[Literal["cpu", "cuda"], typer.Option(help="Where clips are drawn.")] = "cpu",
    utterances_command: Annotated[
        str | None, typer.Option(help="Language model: reads a prompt, prints one sentence a line.")
    ] = None,
    tts_command: Annotated[str | None, typer.Option(help="Speech: a command with {text} and {out}.")] = None,
    portrait_model: Annotated[
        Path | None,
        typer.Option(help="Folder of a text-to-image pipeline of diffusers; needs --video-command."),
    ] = None,
    video_command: Annotated[
        str | None,
        typer.Option(help="Talking video: a command with {image}, {audio}, {out}, perhaps {text}."),
    ] = None,
) -> None:
    """Make a corpus, or go on with one that was interrupted."""
    from reference_model.corpus.pipeline.plan import open_corpus

    given = {"n_people": people, "n_clips": clips, "clip_s": seconds}
    commands = {
        "utterances_command": utterances_command,
        "tts_command": tts_command,
        "video_command": video_command,
        "portrait_model": None if portrait_model is None else str(portrait_model.resolve()),
    }
    spec = replace(
        _preset(preset), seed=seed, **{k: v for k, v in (given | commands).items() if v is not None}
    )
    if size is not None:
        from reference_model.cli import parse_size

        width, height = parse_size(size)
        spec = replace(spec, width=width, height=height)
    _check(spec)
    stages = _stages(stage)
    from reference_model.corpus.pipeline.manifest import rejected_clips
    from reference_model.corpus.pipeline.stages import create_corpus

    corpus = open_corpus(out, spec)
    from rich.console import Console

    from reference_model.cli import bar

    with bar("corpus", 1.0) as advance:
        create_corpus(
            corpus,
            lambda name, done, total: advance(f"{name} {done}/{total}", done / max(1, total)),
            stages=stages,
            jobs=jobs,
            device=device,
        )
    console = Console(highlight=False)
    if "manifest" in stages:
        rejected = rejected_clips(corpus)
        if rejected:
            console.print(
                f"{len(rejected)} clips were rejected after all redraws: see {out / 'filters.jsonl'}"
            )
        console.print(
            f"{out / 'manifest.jsonl'}: {len(corpus.clips) - len(rejected)} clips. bench run --dataset {out}"
        )
    else:
        console.print(f"{out}: the stage {stage} is up to date")


@corpus_app.command()
def export(
    folder: Annotated[Path, typer.Argument(metavar="CORPUS", help="Folder of a finished corpus.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder of the data set, such as benchmark/data/mini.")
    ],
) -> None:
    """Copy manifest, clips and the table of attributes into a data set of the benchmark."""
    from rich.console import Console

    from reference_model.corpus.pipeline.manifest import export_dataset
    from reference_model.corpus.pipeline.plan import open_corpus

    size = export_dataset(open_corpus(folder), out)
    Console(highlight=False).print(f"{out}: {size / 1e6:.2f} MB")


@corpus_app.command()
def pack(
    folder: Annotated[Path, typer.Argument(metavar="CORPUS", help="Folder of a corpus.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The .safetensors file to write.")],
    every: Annotated[int, typer.Option(min=1, help="Store each so manieth picture.")] = 3,
    width: Annotated[int, typer.Option(min=32, max=1024, help="Width of the whole pictures, px.")] = 192,
    head: Annotated[int, typer.Option(min=32, max=512, help="Side of the pictures of the head, px.")] = 128,
    draw: Annotated[
        Literal["clips", "cpu", "cuda"],
        typer.Option(help="Take the pictures of the clips, or draw them here: needs no decoder."),
    ] = "clips",
) -> None:
    """Prepare a corpus for avatar train: one file, which needs no decoder, detector or speech."""
    if out.suffix != ".safetensors":
        raise AvatarBenchError(
            "E504", "the output has the wrong file type", where=out, expected=".safetensors"
        )
    from rich.console import Console

    from reference_model.cli import bar
    from reference_model.corpus.pipeline.pack import PackOptions, pack_corpus
    from reference_model.corpus.pipeline.plan import open_corpus

    corpus = open_corpus(folder)
    done = iter(range(1, len(corpus.clips) + 1))
    with bar("pack", float(len(corpus.clips))) as advance:
        pack_corpus(
            corpus, out, PackOptions(every, width, head, draw), lambda clip: advance(clip, next(done))
        )
    Console(highlight=False).print(f"{out}: {len(corpus.clips)} clips, {out.stat().st_size / 1e6:.1f} MB")


def _preset(name: str | None) -> CorpusSpec:
    from reference_model.corpus.pipeline.plan import PRESETS, CorpusSpec

    if name is None:
        return CorpusSpec()
    if name not in PRESETS:
        raise AvatarBenchError(
            "E504", "there is no such preset", where="--preset", expected=" or ".join(PRESETS), got=repr(name)
        )
    return PRESETS[name]


def _stages(name: str | None) -> tuple[str, ...]:
    from reference_model.corpus.pipeline.stages import STAGES

    if name is None:
        return STAGES
    if name not in STAGES:
        raise AvatarBenchError(
            "E504", "there is no such stage", where="--stage", expected=", ".join(STAGES), got=repr(name)
        )
    return (name,)


def _check(spec: CorpusSpec) -> None:
    """Refuse options that cannot work together, before any work."""
    from reference_model.corpus.pipeline.external import check_template

    if spec.utterances_command is not None:
        if spec.split != "train":
            raise AvatarBenchError(
                "E504",
                "the texts of a preset are fixed",
                where="--utterances-command",
                fix="leave out --preset",
            )
        check_template("--utterances-command", spec.utterances_command, ())
    if spec.tts_command is not None:
        check_template("--tts-command", spec.tts_command, ("text", "out"))
    if spec.video_command is not None:
        check_template("--video-command", spec.video_command, ("image", "audio", "out"))
    if spec.portrait_model is not None:
        if spec.video_command is None:
            raise AvatarBenchError(
                "E504",
                "a portrait from a picture model has no body that the animator could move",
                where="--portrait-model",
                fix="give a --video-command, too",
            )
        if not (Path(spec.portrait_model) / "model_index.json").is_file():
            raise AvatarBenchError(
                "E502",
                "the folder holds no diffusers pipeline",
                where=spec.portrait_model,
                expected="model_index.json",
            )
