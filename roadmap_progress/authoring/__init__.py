"""From `content/` to notebooks: build, lint, prove, lay out anew, distribute."""
