"""The `avatar` program: a photograph to an avatar, an avatar and speech to a video."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table

from media.errors import NOTES, AvatarBenchError
from reference_model.cli_corpus import corpus_app

if TYPE_CHECKING:
    import numpy as np

    from reference_model.animate import Background, Frame
    from reference_model.avatar.personalize import Initial
    from reference_model.corpus.speech.synthesis import Utterance
    from reference_model.evaluation.modules import ModuleEffect
    from reference_model.networks.model import AvatarModel
    from reference_model.networks.text_fusion import TextTokens

__all__ = ["app", "bar", "main", "parse_background", "parse_initial", "parse_size"]

EXIT_BAD_INPUT = 3
_MAX_SIDE = 4096

app = typer.Typer(
    name="avatar",
    help="Make a talking avatar of one photograph. Start with: avatar create photo.jpg -o person.avatar",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(corpus_app)
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

_AvatarFile = Annotated[
    Path, typer.Argument(metavar="PERSON.AVATAR", help="An avatar made by avatar create.")
]


@app.command()
def create(
    photo: Annotated[Path, typer.Argument(help="A photograph of a person, half or full body.")],
    output: Annotated[Path, typer.Option("--out", "-o", help="The .avatar file to write.")],
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random choice.")] = 0,
    initial: Annotated[
        str,
        typer.Option(help="What the optimisation starts from: forward (one pass of a network), or template."),
    ] = "forward",
    iterations: Annotated[
        int | None,
        typer.Option(min=0, max=5000, help="Of the optimisation; 0: none. Default: 200, template 400."),
    ] = None,
) -> None:
    """Make an avatar of a photograph (about a minute; some seconds with --iterations 0)."""
    start = parse_initial(initial)
    _check_output(output, ".avatar")
    from media.image import load_image

    image = load_image(photo)
    from reference_model.avatar.io import save_avatar
    from reference_model.avatar.personalize import STAGES, create_avatar

    with bar("create", len(STAGES)) as advance:
        try:
            avatar = create_avatar(
                image,
                seed=seed,
                progress=lambda stage, fraction: advance(stage, STAGES.index(stage) + fraction),
                initial=start,
                iterations=iterations,
            )
        except AvatarBenchError as error:
            error.where = error.where or str(photo)  # what looks at pixels does not know their file
            raise
    save_avatar(output, avatar)
    for note in avatar.meta["notes"]:
        err.print(f"{note}: {NOTES[note]}", style="yellow")
    out.print(
        f"{output}: {len(avatar):,} Gaussians. Let it speak: avatar drive {output} speech.wav -o talk.mp4"
    )


@app.command()
def drive(
    avatar_file: _AvatarFile,
    output: Annotated[Path, typer.Option("--out", "-o", help="Video: .mp4; .mov or .webm if transparent.")],
    speech: Annotated[
        Path | None, typer.Argument(help="Speech: any sound file, or a video with sound; or give --text.")
    ] = None,
    text: Annotated[str | None, typer.Option(help="What to say, instead of a recording.")] = None,
    voice: Annotated[
        str, typer.Option(help="Who says the text: a language of espeak-ng, perhaps +variant, such as de+f3.")
    ] = "en-us",
    tts_command: Annotated[
        str | None, typer.Option(help="Another synthesiser: a command with {text} and {out}, a sound file.")
    ] = None,
    size: Annotated[
        str | None, typer.Option(help="Width x height, for example 384x512; default: the photo's.")
    ] = None,
    yaw: Annotated[float, typer.Option(help="Walk around the person, degrees.")] = 0.0,
    background: Annotated[
        str, typer.Option(help="photo, transparent, or a colour such as #20c040.")
    ] = "photo",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the performance: blinks, gaze, gestures.")] = 0,
) -> None:
    """Let an avatar speak."""
    behind = parse_background(background)
    suffixes = (".mov", ".webm") if behind == "transparent" else (".mp4", ".mov")
    _check_output(output, *suffixes)
    wanted = None if size is None else parse_size(size)
    if not -90 <= yaw <= 90:
        raise AvatarBenchError(
            "E504", "the avatar has no back", where="--yaw", expected="-90 to 90", got=f"{yaw:g}"
        )
    samples, spoken = _sound(speech, text, voice, tts_command)
    from media.video import write_video
    from reference_model.animate import FPS, SAMPLES_PER_FRAME, Animator
    from reference_model.avatar.io import load_avatar

    animator = Animator(load_avatar(avatar_file), _personal_model(avatar_file))
    photo = animator.avatar.camera
    camera = animator.camera(wanted or (photo.width - photo.width % 2, photo.height - photo.height % 2), yaw)
    n_frames = -(-len(samples) // SAMPLES_PER_FRAME)
    with bar("drive", n_frames) as advance:
        frames = animator.frames(
            samples,
            seed=seed,
            camera=camera,
            background=behind,
            n_frames=n_frames,
            text=_text_tokens(animator.model, spoken),
        )
        write_video(output, _pictures(frames, behind == "transparent", advance), FPS, audio=samples)
    out.print(f"{output}: {n_frames} frames of {camera.width}x{camera.height} at {FPS} a second")


def _weights_beside(avatar_file: Path) -> Path:
    """Where personal weights of an avatar stand: PERSON.weights.safetensors."""
    return avatar_file.with_name(avatar_file.stem + ".weights.safetensors")


def _personal_model(avatar_file: Path) -> AvatarModel | None:
    """The networks that `avatar personalize` left beside an avatar; None for the shipped ones."""
    weights = _weights_beside(avatar_file)
    if not weights.is_file():
        return None
    from reference_model.networks.model import load_model

    return load_model(weights)


def _sound(
    speech: Path | None, text: str | None, voice: str, tts_command: str | None
) -> tuple[np.ndarray, Utterance | None]:
    """What the avatar says, [S] float32, a recording or a text, exactly one of them; and the text as it was spoken."""
    if (speech is None) == (text is None):
        raise AvatarBenchError(
            "E504",
            "the avatar needs something to say" if text is None else "a recording and a text are given",
            expected="either a sound file or --text",
            fix='avatar drive person.avatar speech.wav -o talk.mp4, or --text "Hello." without a sound file',
        )
    if text is None:
        from media.audio import load_audio

        assert speech is not None
        return load_audio(speech), None
    from reference_model.spoken_text import check_text, parse_voice, speak_text

    check_text(text, tts_command)
    spoken = speak_text(text, parse_voice(voice), tts_command)
    return spoken.samples, spoken


def _text_tokens(model: AvatarModel, spoken: Utterance | None) -> TextTokens | None:
    """What a model that reads phonemes gets of a spoken text; None for the sound alone."""
    if spoken is None or model.text is None:
        return None
    from reference_model.sound_stream import FPS
    from reference_model.spoken_text import with_times

    return model.text.encode(with_times(spoken).phonemes, FPS)


@app.command()
def export(
    avatar_file: _AvatarFile,
    output: Annotated[Path, typer.Option("--out", "-o", help="The .ply file to write.")],
) -> None:
    """Write the Gaussians as a .ply that viewers of Gaussian splats read."""
    _check_output(output, ".ply")
    from reference_model.avatar.io import load_avatar
    from reference_model.avatar.ply import write_ply

    avatar = load_avatar(avatar_file)
    write_ply(output, avatar.gaussians)
    out.print(f"{output}: {len(avatar):,} Gaussians")


@app.command()
def inspect(avatar_file: _AvatarFile) -> None:
    """Show what an avatar is made of."""
    from reference_model.avatar.io import load_avatar
    from reference_model.body.template import REGIONS

    avatar = load_avatar(avatar_file)
    table = Table(title=str(avatar_file), title_justify="left", show_header=False)
    table.add_row("file", f"{avatar_file.stat().st_size / 1e6:.2f} MB")
    table.add_row("Gaussians", f"{len(avatar):,}")
    counts = avatar.region.bincount(minlength=len(REGIONS)).tolist()
    regions = sorted(zip(REGIONS, counts, strict=False), key=lambda pair: -pair[1])
    table.add_row("by region", ", ".join(f"{name} {count:,}" for name, count in regions if count))
    camera = avatar.camera
    table.add_row("photograph", f"{camera.width}x{camera.height}, focal length {camera.focal:.0f} px")
    for name, value in sorted(avatar.meta.items()):
        table.add_row(name, str(value))
    out.print(table)


@app.command()
def modules(
    avatar_file: _AvatarFile,
    speech: Annotated[Path, typer.Argument(help="Speech: any sound file.")],
    seconds: Annotated[float, typer.Option(min=0.5, max=60.0, help="How much of it.")] = 4.0,
    size: Annotated[str, typer.Option(help="Width x height of the pictures that are compared.")] = "384x512",
    photo: Annotated[
        Path | None, typer.Option(help="A photograph: also turn off the switches of the paper's Table 3.")
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="Also have espeak-ng say this text, with its phonemes and without.")
    ] = None,
) -> None:
    """Show the model's modules: parameters, and how much the pictures change without each."""
    wanted = parse_size(size)
    from media.audio import load_audio

    samples = load_audio(speech, duration_s=seconds)
    from reference_model.avatar.io import load_avatar
    from reference_model.evaluation.modules import (
        module_effects,
        switch_effects,
        text_effect,
        untrained_modules,
    )
    from reference_model.networks.model import load_model

    avatar, model = load_avatar(avatar_file), load_model()
    heard = f"{len(samples) / 16_000:.1f} s of {speech.name}, {size}"
    _print_effects(f"{avatar_file.name}, {heard}", module_effects(avatar, model, samples, wanted))
    if photo is not None:
        from media.image import load_image

        _print_effects(f"{photo.name}, {heard}", switch_effects(load_image(photo), model, samples, wanted))
    if text is not None:
        from reference_model.spoken_text import speak_text

        effect = text_effect(avatar, model, speak_text(text), wanted)
        _print_effects(f"{avatar_file.name}, {text!r}, {size}", [effect])
    out.print(f"{sum(p.numel() for p in model.parameters()):,} parameters in all")
    for name in untrained_modules(model):
        out.print(f"untrained: {name}")


def _print_effects(title: str, effects: Iterable[ModuleEffect]) -> None:
    table = Table(title=title)
    table.add_column("module")
    table.add_column("equation")
    table.add_column("parameters", justify="right")
    table.add_column("PSNR without it, dB", justify="right")
    for effect in effects:
        changed = "no change" if effect.psnr_db == float("inf") else f"{effect.psnr_db:.1f}"
        table.add_row(
            effect.name, effect.source, f"{effect.parameters:,}" if effect.parameters else "", changed
        )
    out.print(table)


@app.command()
def train(
    data: Annotated[Path, typer.Option(help="Prepared data: avatar corpus pack CORPUS -o data.safetensors.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for weights, losses and sheets.")],
    preset: Annotated[Literal["mini"], typer.Option(help="Which model.")] = "mini",
    scope: Annotated[
        Literal["appearance", "all"],
        typer.Option(help="What learns: scale, opacity and colour of the Gaussians, or the whole model."),
    ] = "appearance",
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 300,
    clips: Annotated[int, typer.Option(min=1, help="Clips of a step, in each process.")] = 2,
    pictures: Annotated[int, typer.Option(min=1, help="Pictures drawn of each clip.")] = 3,
    frames: Annotated[int, typer.Option(min=8, help="Longest stretch of a clip, pictures.")] = 110,
    learning_rate: Annotated[float, typer.Option(help="Of appearance; --scope all takes a tenth.")] = 3e-3,
    geometry: Annotated[
        Path | None, typer.Option(help="Corpus of reference_model.corpus.geometry_corpus to mix in.")
    ] = None,
    geometry_batch: Annotated[int, typer.Option(min=0, help="Crops of it in each step.")] = 0,
    picture_weight: Annotated[float, typer.Option(help="Factor of the picture terms beside geometry.")] = 1.0,
    weights: Annotated[
        Path | None, typer.Option(help="Weights to begin with; default: the shipped ones.")
    ] = None,
    checkpoint_every: Annotated[int, typer.Option(min=1, help="Steps between checkpoints.")] = 50,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random choice.")] = 0,
    bfloat16: Annotated[bool, typer.Option(help="Lower precision where it is safe.")] = False,
    cpu: Annotated[bool, typer.Option("--cpu", help="Train on the CPU even where there is a GPU.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder.")] = False,
) -> None:
    """Train through the renderer; several GPUs: torchrun --nproc_per_node N -m reference_model.cli train ..."""
    del preset  # there is one so far
    from reference_model.training.rendered import train_rendered
    from reference_model.training.rendered_trainer import RenderedOptions

    options = RenderedOptions(
        scope=scope,
        steps=steps,
        clips=clips,
        pictures=pictures,
        frames=frames,
        seed=seed,
        learning_rate=learning_rate,
        checkpoint_every=checkpoint_every,
        picture_weight=picture_weight,
        geometry_batch=geometry_batch,
        bfloat16=bfloat16,
    )
    with bar("train", float(steps)) as advance:
        figures = train_rendered(
            data, out, options, start=weights, geometry=geometry, cpu=cpu, resume=resume,
            progress=lambda step, terms: advance(f"train, loss {terms['total']:.4f}", step),
        )  # fmt: skip
    if not figures:
        return  # not the main process
    table = Table("held-out term", "before", "after")
    for name in (key.removeprefix("before_") for key in figures if key.startswith("before_")):
        table.add_row(name, f"{figures[f'before_{name}']:.5f}", f"{figures[f'after_{name}']:.5f}")
    Console(highlight=False).print(table)
    Console(highlight=False).print(f"{out / 'weights.safetensors'}: {steps} steps")


@app.command()
def personalize(
    source: Annotated[Path, typer.Argument(metavar="PERSON", help="A photograph, or an .avatar.")],
    output: Annotated[Path, typer.Option("--out", "-o", help="The .avatar file; weights go beside it.")],
    scope: Annotated[
        Literal["appearance", "all"], typer.Option(help="What is tuned: looks in motion, or the whole model.")
    ] = "all",
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 100,
    clips: Annotated[int, typer.Option(min=1, help="Talking clips that are made of the person.")] = 6,
    seconds: Annotated[float, typer.Option(min=1.0, max=10.0, help="Length of each.")] = 4.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random choice.")] = 0,
    cpu: Annotated[bool, typer.Option("--cpu", help="Train on the CPU even where there is a GPU.")] = False,
) -> None:
    """Tune the deformer to one person, on talking clips that are made of that person."""
    _check_output(output, ".avatar")
    from reference_model.avatar.io import load_avatar, save_avatar
    from reference_model.training.personal import personalize as tune
    from reference_model.training.rendered_trainer import RenderedOptions

    if source.suffix == ".avatar":
        avatar = load_avatar(source)
    else:
        from media.image import load_image
        from reference_model.avatar.personalize import create_avatar

        avatar = create_avatar(load_image(source), seed=seed)
    options = RenderedOptions(
        scope=scope, steps=steps, clips=1, pictures=2, seed=seed, checkpoint_every=steps, learning_rate=2e-3
    )
    weights = _weights_beside(output)
    with bar("personalize", float(steps)) as advance:
        figures = tune(
            avatar, weights, options, clips=clips, seconds=seconds, cpu=cpu,
            progress=lambda step, terms: advance(f"personalize, loss {terms['total']:.4f}", step),
        )  # fmt: skip
    save_avatar(output, avatar)
    for name in ("picture", "face", "gap"):
        if f"after_{name}" in figures:
            out.print(
                f"held-out clip, {name}: {figures[f'before_{name}']:.4f} -> {figures[f'after_{name}']:.4f}"
            )
    out.print(f"{output} and {weights}: avatar drive {output} speech.wav -o talk.mp4 uses both")


@app.command("evaluate-motion")
def evaluate_motion(
    corpus: Annotated[
        Path | None,
        typer.Option(help="Corpus whose motion stands, such as mini-heldout; nothing need be drawn."),
    ] = None,
    clips: Annotated[list[Path] | None, typer.Option(help="Video of a real talker; may be repeated.")] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Weights to look at; default: the shipped ones.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--out", "-o", help="Write the figures here, .json.")] = None,
) -> None:
    """Measure lips, gestures, blinks and tremble against the truth of unseen people, and lips against real ones."""
    if corpus is None and not clips:
        raise AvatarBenchError(
            "E504", "there is nothing to compare with", expected="--corpus DIR or --clips VIDEO, or both"
        )
    if output is not None:
        _check_output(output, ".json")
    from reference_model.evaluation.speech_motion import evaluate_clips, evaluate_corpus
    from reference_model.evaluation.surface_motion import SurfaceMotion
    from reference_model.networks.model import load_model

    motion = SurfaceMotion(load_model(weights))
    figures: dict[str, Any] = {}
    table = Table("what", "value", "99% of shifts")
    if corpus is not None:
        from reference_model.corpus.pipeline.plan import open_corpus

        made = open_corpus(corpus)
        done = iter(range(1, 2 * len(made.clips) + 1))
        with bar("evaluate", 2.0 * len(made.clips)) as advance:
            figures["corpus"] = evaluate_corpus(motion, made, lambda name: advance(name, next(done)))
        for name, value in figures["corpus"].items():
            table.add_row(name.replace("_", " "), f"{value:.4g}", "")
    if clips:
        figures["clips"] = evaluate_clips(motion, clips)
        for name, row in figures["clips"].items():
            table.add_row(f"lip gap r, {name}", f"{row['r']:.3f}", f"{row['chance_99']:.3f}")
    out.print(table)
    if output is not None:
        from media.files import atomic_write

        with atomic_write(output) as temporary:
            temporary.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")


@app.command("import-lhm")
def import_lhm(
    checkpoint: Annotated[Path, typer.Argument(help="model.safetensors of an LHM, or its folder.")],
    output: Annotated[Path, typer.Option("--out", "-o", help="The .safetensors file to write.")],
) -> None:
    """Take over the weights of a large human reconstruction model (layout-tested: no published file was at hand)."""
    _check_output(output, ".safetensors")
    from reference_model.reconstruction.lhm_import import import_lhm as take_over

    report = take_over(checkpoint, output)
    out.print(f"{output}: {report.imported} tensors, {report.config.n_layers} layers")
    for what, count in report.skipped.items():
        out.print(f"left out: {count} of {what}")
    out.print("new, and untrained: hand branch, weight decoder")


def parse_initial(text: str) -> Initial:
    """`template` or `forward`; E504 otherwise."""
    if text == "template" or text == "forward":
        return text
    raise AvatarBenchError(
        "E504", f"'{text}' is nothing to start from", where="--initial", expected="template or forward"
    )


def parse_size(text: str) -> tuple[int, int]:
    """`384x512` as width and height in px, both even; E504 otherwise."""
    match = re.fullmatch(r"(\d+)[x×](\d+)", text.strip())
    width, height = (int(match[1]), int(match[2])) if match else (0, 0)
    if width % 2 or height % 2 or not (16 <= width <= _MAX_SIDE and 16 <= height <= _MAX_SIDE):
        raise AvatarBenchError(
            "E504",
            f"'{text}' is not a size",
            where="--size",
            expected=f"two even numbers of 16 to {_MAX_SIDE}, width first",
            fix="for example --size 384x512",
        )
    return width, height


def parse_background(text: str) -> Background:
    """`photo`, `transparent` or `#rrggbb`; E504 otherwise."""
    if text == "photo" or text == "transparent":
        return text
    if re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)
    raise AvatarBenchError(
        "E504",
        f"'{text}' is not a background",
        where="--background",
        expected="photo, transparent or #rrggbb",
        fix="quote a colour: --background '#20c040'",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; returns the exit code: 0 ok, 2 usage, 3 bad input or environment."""
    try:
        app(args=list(arguments) if arguments is not None else None, prog_name="avatar")
    except AvatarBenchError as error:
        err.print(str(error), style="red", markup=False, soft_wrap=True)
        return EXIT_BAD_INPUT
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else 0
    return 0


def _check_output(path: Path, *suffixes: str) -> None:
    """Refuse an output that cannot be written before minutes of work are spent on it."""
    if path.suffix.lower() not in suffixes:
        raise AvatarBenchError(
            "E504",
            "the output has the wrong file type",
            where=path,
            expected=" or ".join(suffixes),
            got=path.suffix or "no suffix",
        )
    if not path.parent.is_dir():
        raise AvatarBenchError(
            "E602", "the folder of the output does not exist", where=path, fix=f"mkdir -p {path.parent}"
        )


def _pictures(
    frames: Iterator[Frame], transparent: bool, advance: Callable[[str, float], None]
) -> Iterator[np.ndarray]:
    import numpy as np

    for index, frame in enumerate(frames, start=1):
        yield np.dstack([frame.rgb, frame.alpha]) if transparent else frame.rgb
        advance("drive", index)


@contextmanager
def bar(what: str, total: float) -> Iterator[Callable[[str, float], None]]:
    """A progress bar on the terminal; yields `advance(stage, done)`."""
    from rich.progress import (
        BarColumn,
        Progress,
        SpinnerColumn,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, TimeElapsedColumn(), console=err, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda stage, done: bar.update(task, description=stage, completed=done)


if __name__ == "__main__":
    sys.exit(main())
