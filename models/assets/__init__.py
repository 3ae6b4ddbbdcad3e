"""Files the pack ships, files users bring, and reading both safely."""
