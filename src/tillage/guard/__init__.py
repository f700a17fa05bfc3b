"""What stands between the project and what comes from outside: paths, archives, addresses, limits, secrets."""

from tillage.guard.paths import checked_name, inside, matches, open_inside

__all__ = ["checked_name", "inside", "matches", "open_inside"]
