"""How well an avatar's motion follows its sound, measured on rendered frames."""
