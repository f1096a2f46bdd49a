"""The reference model: one photo becomes an avatar of 3D Gaussians that speech moves directly."""
