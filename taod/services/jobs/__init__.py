"""Jobs: submission, commands, updates, specifications, files and the queue."""
