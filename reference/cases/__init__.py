"""The cases of vectors/*.json: a module for each file, and what they share."""
