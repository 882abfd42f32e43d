"""Forms: fields under each other, what is wrong with them, and what a yes does."""
