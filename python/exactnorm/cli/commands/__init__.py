"""The commands: their arguments and their help, one to a file."""
