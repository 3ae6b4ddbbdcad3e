"""Dancing Avatar: videos of one person in motion from text and poses, with an image model that paints frame after frame."""
