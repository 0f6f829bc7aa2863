"""The room of experimenters and testers: many runs, pytest, experiments."""
