"""A method in Python: the reference picture nods with the loudness of the speech.

The contract is `benchmark/contract.py`. Keep heavy imports inside functions: `bench methods` imports this module.
"""

from __future__ import annotations

from pathlib import Path

from benchmark.contract import Generation, Identity, MethodSpec, Preparation, Sample

SPEC = MethodSpec(
    id="my_method",  # the entry point's name
    version="1",  # raise it whenever equal input may give another video
    title="The reference picture nods with the loudness of the speech",
    licence="Apache-2.0",
    factory="my_method:MyMethod",
    # Files and folders whose bytes decide the output: code, weights. A changed one makes predictions anew.
    sources=("my_method/my_method.py",),
    # Per-person work is done once and kept. Leave it out if there is none.
    preparation=Preparation("my_background", "1", ("my_method/my_method.py",)),
)


class MyMethod:
    """Called as `MyMethod(device)`; load networks here."""

    def __init__(self, device: str) -> None:
        self.device = device

    def prepare(self, identity: Identity, prepared: Path) -> None:
        """See one picture; leave what `generate` needs in the empty folder `prepared`."""
        import numpy as np

        from media.image import load_image

        picture = load_image(identity.reference_image)
        np.save(prepared / "edge.npy", picture[:1])

    def generate(self, sample: Sample, prepared: Path, out: Path) -> Generation:
        """See the sound and the picture; write `sample.n_frames` frames of `width` x `height` at `fps`."""
        import numpy as np

        from media.audio import load_audio
        from media.image import load_image
        from media.video import write_video

        picture, edge = load_image(sample.reference_image), np.load(prepared / "edge.npy")
        sound = load_audio(sample.audio)
        loudness = [np.sqrt(np.square(part).mean()) for part in np.array_split(sound, sample.n_frames)]

        def frames():
            for value in loudness:
                shift = min(40, round(100 * float(value)))
                yield np.concatenate([np.repeat(edge, shift, axis=0), picture[: len(picture) - shift]])

        write_video(out, frames(), sample.fps, audio=sound)
        return Generation(out, seeds={"none": sample.seed})
