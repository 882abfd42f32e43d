"""`taod model pack`: one zip file with an exported model and what runs it without taod."""
