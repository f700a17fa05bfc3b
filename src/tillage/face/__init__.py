"""What people touch: the command line and the report. Thin: whatever it shows, a room below has worked out."""

import os

# Read when typer loads: pydantic would look through all that is installed for who changes models, a tenth of a short
# command. What a plan may say is not for them to change.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")

__all__: list[str] = []
