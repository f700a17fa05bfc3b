"""What people touch: the command line and the report. Thin: whatever it shows, a room below has worked out."""

__all__: list[str] = []
