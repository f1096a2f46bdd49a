"""Audio-driven particle deformer: equations 1 to 3 of the paper, repaired.

Equation 2 has no path for values from the sound (keys and values come from static tokens only) and one query D_t
gives one row, not M. Here each of the M particles asks with its own query, and the driving token also reaches it
directly, scaled by the particle's embedding. Equation 3 as written accumulates rotation without bound; the twists
are summed by a leaky integrator in the log domain instead: `s_t = rho s_{t-1} + dxi_t`, `T_t = exp(s_t)`.

The twist of a frame is the bounded difference of what the MLP proposes for it and for the frame before,
`dxi_t = a tanh(g_t - rho g_{t-1})`. While the bound is far, the state then follows the proposal, `s_t = a g_t`. An MLP
that gave the twist alone would have to output velocities whose errors add up over 1 / (1 - rho) = 50 frames of the
body's time constant, and its first optimiser steps would throw the arms about.
Speech takes back most of the photo's expression whatever is said: a learned share of it is part of every proposal.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reference_model.body.se3 import clamp_rotation, leaky_integrate
from reference_model.networks.positional import PositionalEncoding

__all__ = ["ParticleDeformer", "ParticleLayout", "StaticTokens"]

_REST_SCALE = (5.0, 5.0, 5.0, 100.0, 100.0, 100.0)  # radians and metres to numbers of order one

# Lets one optimiser step move the share by about a hundredth, as fast as the rest of the network learns.
_UNDO_GAIN = 10.0


class ParticleLayout(NamedTuple):
    """What the deformer knows of the M particles before it has learned anything; joints first."""

    position: Tensor
    """Joint heads and anchors on the mean template, metres, [M, 3]."""
    group: Tensor
    """Index of the particle's group, [M] int64."""
    retention: Tensor
    """rho of the leaky integrator, [M]."""
    bound: Tensor
    """Largest twist of one frame, radians and metres, [M, 6]."""
    token_particles: Tensor
    """Particles whose places serve as anchor tokens Q and Q0, [A] int64."""


class StaticTokens(NamedTuple):
    """What does not change during an utterance; computed once for each avatar."""

    keys: Tensor
    """[B, heads, 2A, c]."""
    values: Tensor
    """[B, heads, 2A, c]."""
    particles: Tensor
    """Particle embedding with the photo's expression, [B, M, d]."""
    undone: Tensor
    """Constant part of the proposals: what speech takes back of the photo's expression, [B, M, 6]."""


class ParticleDeformer(nn.Module):
    """Twists of M implicit particles from driving tokens.

    Args:
        layout: The particles.
        n_groups: Number of particle groups.
        dim_driving: Width of D.
        dim: Width d of the particle tokens.
        n_heads: Attention heads.
        dim_feedforward: Hidden width of the feed-forward network.
    """

    position: Tensor
    group: Tensor
    retention: Tensor
    bound: Tensor
    token_particles: Tensor
    rest_scale: Tensor

    def __init__(
        self,
        layout: ParticleLayout,
        n_groups: int,
        dim_driving: int = 256,
        dim: int = 128,
        n_heads: int = 4,
        dim_feedforward: int = 192,
    ) -> None:
        super().__init__()
        if dim % n_heads:
            raise ValueError(f"dim must be divisible by n_heads, got {dim} and {n_heads}")
        self.n_heads = n_heads
        for name, value in layout._asdict().items():
            self.register_buffer(name, value, persistent=False)
        self._members: list[Tensor] = []
        self.register_buffer("rest_scale", torch.tensor(_REST_SCALE), persistent=False)
        n_particles, n_tokens = len(layout.position), len(layout.token_particles)
        self.encoding = PositionalEncoding(octaves=8)
        self.embedding = nn.Parameter(0.3 * torch.randn(n_particles, dim))
        self.place = nn.Linear(self.encoding.dim, dim)
        self.group_embedding = nn.Embedding(n_groups, dim)
        self.undo = nn.Parameter(torch.zeros(n_particles, 6))
        self.rest = nn.Sequential(nn.Linear(6, dim), nn.GELU(), nn.Linear(dim, dim))
        self.template_tokens = nn.Parameter(0.3 * torch.randn(n_tokens, dim))
        self.person = nn.Sequential(nn.Linear(self.encoding.dim + 9, dim), nn.GELU(), nn.Linear(dim, dim))
        self.norm_tokens = nn.LayerNorm(dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.from_driving = nn.Linear(dim_driving, 2 * dim)
        self.norm_query = nn.LayerNorm(dim)
        self.query = nn.Linear(dim, dim)
        self.attended = nn.Linear(dim, dim)
        self.norm_feedforward = nn.LayerNorm(dim)
        self.feedforward = nn.Sequential(
            nn.Linear(dim, dim_feedforward), nn.GELU(), nn.Linear(dim_feedforward, dim)
        )
        self.norm_twist = nn.LayerNorm(dim)
        self.twist_hidden = nn.Linear(dim, dim // 2)
        self.twist = nn.Linear(dim // 2, 6)
        nn.init.zeros_(self.twist.weight)
        nn.init.zeros_(self.twist.bias)

    @property
    def n_particles(self) -> int:
        """M, joints and local particles."""
        return len(self.embedding)

    def static_tokens(self, person_offset: Tensor, rest_twist: Tensor) -> StaticTokens:
        """Everything of an avatar that the sound does not change (equation 1).

        Args:
            person_offset: Neutral person minus mean template at each particle, metres, [B, M, 3].
            rest_twist: Motion of each particle from the neutral face to the photo's expression, [B, M, 6]; with
                it a mouth that stands open in the photo can still be closed.

        Returns:
            Cached keys, values and particle tokens.
        """
        rest = rest_twist * self.rest_scale  # [B, M, 6]
        place = self.encoding(self.position)  # [M, p]
        own = self.embedding + self.place(place) + self.group_embedding(self.group)  # [M, d]
        particles = own + self.rest(rest)  # [B, M, d]

        at = self.token_particles
        shared = self.place(place[at]) + self.template_tokens  # [A, d]
        seen = torch.cat([person_offset[:, at] * 10.0, rest[:, at]], -1)  # [B, A, 9]
        where = place[at].expand(len(seen), -1, -1)
        person = shared + self.person(torch.cat([where, seen], -1))  # Q   [B, A, d]
        tokens = torch.cat([person, shared.expand_as(person)], 1)  # [Q || Q0]   [B, 2A, d]
        keys, values = self.key_value(self.norm_tokens(tokens)).chunk(2, -1)
        undone = -_UNDO_GAIN * self.undo * rest_twist / self.bound
        return StaticTokens(self._split(keys), self._split(values), particles, undone)

    def proposals(self, driving: Tensor, static: StaticTokens, subset: Tensor | None = None) -> Tensor:
        """What each frame proposes as a state, in units of the bound (equation 2 and the MLP of equation 3).

        Args:
            driving: D, [B, T, dim_driving].
            static: From `static_tokens`, batch B.
            subset: Only these particles, [m] int64; particles do not see each other, so theirs are unchanged.

        Returns:
            g, unbounded, [B, T, M or m, 6].
        """
        particles, undone = static.particles, static.undone
        if subset is not None:
            particles, undone = particles[:, subset], undone[:, subset]
        shift, gain = self.from_driving(driving)[:, :, None].chunk(2, -1)  # [B, T, 1, d] each
        x = particles[:, None] * (1 + gain) + shift  # [B, T, M, d]
        query = self.query(self.norm_query(x)).flatten(1, 2)  # [B, T * M, d]
        context = F.scaled_dot_product_attention(self._split(query), static.keys, static.values)
        context = context.transpose(1, 2).reshape(x.shape)
        x = x + self.attended(context)  # H_mot   [B, T, M, d]
        x = x + self.feedforward(self.norm_feedforward(x))
        # A twist is a difference of proposals: rounded to bfloat16 they would make the surface tremble.
        with torch.autocast(x.device.type, enabled=False):
            proposed = self.twist(F.gelu(self.twist_hidden(self.norm_twist(x.float()))))  # [B, T, M, 6]
        return proposed + undone[:, None]

    def twists(
        self, proposals: Tensor, previous: Tensor | None = None, subset: Tensor | None = None
    ) -> Tensor:
        """Twists of single frames (equation 3), `dxi_t = a tanh(g_t - rho g_{t-1})`.

        Args:
            proposals: g, [B, T, M or m, 6].
            previous: g of the frame before the first, [B, M or m, 6]; None is the photo, 0.
            subset: The particles that `proposals` holds.

        Returns:
            dxi = (w, v) within the bounds, [B, T, M or m, 6].
        """
        bound, retention = self.bound, self.retention
        if subset is not None:
            bound, retention = bound[subset], retention[subset]
        first = torch.zeros_like(proposals[:, 0]) if previous is None else previous
        before = torch.cat([first[:, None], proposals[:, :-1]], 1)
        return bound * (proposals - retention[:, None] * before).tanh()

    def integrate(
        self, twists: Tensor, initial: Tensor | None = None, subset: Tensor | None = None
    ) -> Tensor:
        """States of the particles: `s_t = rho s_{t-1} + dxi_t`.

        Args:
            twists: [B, T, M or m, 6].
            initial: State before the first frame, [B, M or m, 6]; None is the photo.
            subset: The particles that `twists` holds.

        Returns:
            [B, T, M or m, 6], not yet clamped; the last frame continues a stream.
        """
        if subset is not None:
            return leaky_integrate(twists, self.retention[subset], initial)
        return leaky_integrate(twists, self.retention, initial, groups=self._of_one_retention())

    @staticmethod
    def clamp(states: Tensor) -> Tensor:
        """Keep rotation angles off the cut at pi."""
        return clamp_rotation(states)

    def _of_one_retention(self) -> list[Tensor]:
        """Particles that share a time constant, [m] each; kept, since finding them waits for the device."""
        if not self._members or self._members[0].device != self.retention.device:
            values = self.retention.unique()
            self._members = [(self.retention == value).nonzero().squeeze(-1) for value in values]
        return self._members

    def _split(self, x: Tensor) -> Tensor:
        """[B, n, d] -> [B, heads, n, c]."""
        return x.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)
