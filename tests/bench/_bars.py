"""A bar is met or missed; a bench that has missed one ends with 1."""

_verdicts: list[bool] = []


def verdict(is_met: bool) -> str:
    """What stands before the figure; remembered until the end."""
    _verdicts.append(is_met)
    return "met    " if is_met else "MISSED "


def say(what: str, figure: str, bar: str, is_met: bool | None = None) -> None:
    """One line. Without a verdict, `bar` tells what the figure is there for."""
    print(f"{'       ' if is_met is None else verdict(is_met)}{what:64} {figure:>44}   {bar if is_met is None else f'bar: {bar}'}")


def exit_status() -> int:
    """Of the whole bench."""
    return 0 if all(_verdicts) else 1
