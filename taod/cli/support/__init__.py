"""Code that commands share: options, output, progress, resolution of ids."""
