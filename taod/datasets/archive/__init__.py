"""Archives: safe, streamed extraction."""
