"""The library behind the nodes: torch and numpy, no ComfyUI. Rooms and layers are drawn in AGENTS.md."""
