"""Formats for numbers and durations that people read."""


def duration(seconds: float | None) -> str:
    """Format a duration, such as `0.4 s`, `2 min 5 s` or `3 h 4 min`. None becomes `-`."""
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def count(number: int, noun: str) -> str:
    """Format a number with its noun, such as `1 job` or `1,000 jobs`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
