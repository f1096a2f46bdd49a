"""MediaPipe 0.10.21 behind a small seam: quiet, imported late, one new graph per object.

The legacy `mp.solutions` graphs are used because the wheel carries their models, so that nothing is
downloaded. All graphs run in static mode: a result depends on the image alone, not on what was processed
before.
"""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

__all__ = ["HandRegionGraph", "RegionHand", "points_of", "quiet", "start_solution"]

_quiet_lock = threading.Lock()
_quiet_depth = 0
_saved_stderr = -1


@contextmanager
def quiet() -> Iterator[None]:
    """Send what native code writes to stderr to nowhere.

    MediaPipe logs through a library that it never initialises, so that no environment variable silences it.
    The file descriptor belongs to the whole process: the lock and the depth keep nested and parallel uses
    apart.
    """
    global _quiet_depth, _saved_stderr
    with _quiet_lock:
        if _quiet_depth == 0:
            if sys.stderr is not None:
                sys.stderr.flush()
            _saved_stderr = os.dup(2)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 2)
            os.close(nowhere)
        _quiet_depth += 1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # protobuf's deprecations inside MediaPipe
            yield
    finally:
        with _quiet_lock:
            _quiet_depth -= 1
            if _quiet_depth == 0:
                os.dup2(_saved_stderr, 2)
                os.close(_saved_stderr)


def start_solution(module: str, name: str, **options: Any) -> Any:
    """Start a graph of `mediapipe.solutions`; the first call imports MediaPipe (seconds).

    Args:
        module: Such as "face_mesh".
        name: The class in it, such as "FaceMesh".
        options: Its constructor's arguments.

    Returns:
        The running graph, with `process(rgb)` and `close()`.
    """
    with quiet():
        import mediapipe

        graph = getattr(getattr(mediapipe.solutions, module), name)(**options)  # pyright: ignore
        # Models load in threads of the graph, which log until the first picture is through.
        graph.process(np.zeros((64, 64, 3), np.uint8))
    return graph


def points_of(landmarks: Any, side: float) -> np.ndarray:
    """Landmarks of a square view as an array.

    Args:
        landmarks: A (Normalized)LandmarkList message.
        side: Side of the view in px; 1 for world landmarks in metres.

    Returns:
        x, y, z [K, 3] float64 in px of the view (z has the scale of x) or in metres.
    """
    return np.array([[p.x, p.y, p.z] for p in landmarks.landmark]) * side


class RegionHand(NamedTuple):
    """What the hand landmark model sees in one region."""

    points: np.ndarray  # [21, 3] px of the view
    world: np.ndarray  # [21, 3] m about the hand's centre
    presence: float  # 0..1, the model's own confidence that the region holds a hand
    label: str  # "Left" or "Right" as in a mirror: the person's other hand
    label_score: float  # 0.5..1


class HandRegionGraph:
    """The hand landmark model on a region given by the caller, without palm detection in front of it.

    The palm detector misses hands in sleeves, seen edge-on or small in the picture although the landmark
    model reads them well once it knows where to look, which the body's wrists tell. This graph also gives
    the model's presence score, which `mp.solutions.hands` keeps to itself.
    """

    _PRESENCE = "handlandmarkcpu__hand_presence_score"  # the stream's name inside the expanded subgraph
    _GRAPH = """
        input_stream: "image"
        input_stream: "roi"
        input_side_packet: "model_complexity"
        output_stream: "landmarks"
        output_stream: "world_landmarks"
        output_stream: "handedness"
        node {
          calculator: "HandLandmarkCpu"
          input_stream: "IMAGE:image"
          input_stream: "ROI:roi"
          input_side_packet: "MODEL_COMPLEXITY:model_complexity"
          output_stream: "LANDMARKS:landmarks"
          output_stream: "WORLD_LANDMARKS:world_landmarks"
          output_stream: "HANDEDNESS:handedness"
        }
    """

    def __init__(self) -> None:
        with quiet():
            from google.protobuf import text_format
            from mediapipe.framework import calculator_pb2
            from mediapipe.framework.formats import rect_pb2
            from mediapipe.python import solution_base

            self._rectangle = rect_pb2.NormalizedRect  # pyright: ignore
            self._graph = solution_base.SolutionBase(
                graph_config=text_format.Parse(self._GRAPH, calculator_pb2.CalculatorGraphConfig()),  # pyright: ignore
                side_inputs={"model_complexity": 1},
                outputs=["landmarks", "world_landmarks", "handedness", self._PRESENCE],
                # The caller judges the presence itself.
                calculator_params={"handlandmarkcpu__ThresholdingCalculator.threshold": 0.0},
                stream_type_hints={self._PRESENCE: solution_base.PacketDataType.FLOAT},
            )
            self.read(np.zeros((64, 64, 3), np.uint8), np.array([32.0, 32.0]), 32.0, 0.0)

    def close(self) -> None:
        """Free the graph."""
        self._graph.close()

    def read(self, view: np.ndarray, centre: np.ndarray, side: float, angle: float) -> RegionHand:
        """Run the model on one square region.

        Args:
            view: Square picture [S, S, 3] uint8 RGB; regions of a picture that is not square come out
            sheared.
            centre: Centre of the region [2], px of the view.
            side: Side of the region, px of the view.
            angle: Turn of the region, rad: the direction of the fingers, clockwise from up.
        """
        size = view.shape[0]
        region = self._rectangle(
            x_center=centre[0] / size,
            y_center=centre[1] / size,
            width=side / size,
            height=side / size,
            rotation=angle,
        )
        with quiet():
            result: Any = self._graph.process({"image": np.ascontiguousarray(view), "roi": region})
        label = result.handedness.classification[0]
        return RegionHand(
            points=points_of(result.landmarks, size),
            world=points_of(result.world_landmarks, 1.0),
            presence=float(getattr(result, self._PRESENCE)),
            label=label.label,
            label_score=float(label.score),
        )
