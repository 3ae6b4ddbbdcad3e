"""Personalization: an image model paints the scene around a rendered avatar (PAS, section 3.5)."""
