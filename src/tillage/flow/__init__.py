"""Plans, and the runner that brings them up to date."""
