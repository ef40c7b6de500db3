"""Generates the reference of the commands from their argument parsers."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from django.core.management import get_commands, load_command_class

from tools.reference.text import code, plain, sentence, table

APPS = frozenset({"millrace", "tenants", "ingestion", "analytics_api"})
#: Options that Django gives every command.
_DJANGO = frozenset(
    {
        *("help", "version", "verbosity", "settings", "pythonpath", "traceback"),
        *("no_color", "force_color", "skip_checks"),
    }
)


def names() -> list[str]:
    return sorted(name for name, app in get_commands().items() if app in APPS)


def page() -> str:
    return "\n\n".join(_command(name) for name in names())


def arguments(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """All arguments of a command and of its subcommands."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no public way
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for inner in action.choices.values():
                yield from arguments(inner)
        elif action.dest not in _DJANGO:
            yield action


def _command(name: str) -> str:
    command = load_command_class(get_commands()[name], name)
    parser = command.create_parser("manage.py", name)
    return f"## {name}\n\n{_of(parser, f'manage.py {name}', command.help)}"


def _of(parser: argparse.ArgumentParser, name: str, meaning: str) -> str:
    actions = [
        action
        for action in parser._actions  # noqa: SLF001 - argparse has no public way
        if action.dest not in _DJANGO
    ]
    parts = [sentence(meaning)] if meaning else []
    within = [
        action
        for action in actions
        if isinstance(action, argparse._SubParsersAction)  # noqa: SLF001
    ]
    if not within:
        parts.append(f"```\npython {_usage(name, actions)}\n```")
    rows = [
        (code(_shown(action)), plain(_help(action))) for action in actions if action not in within
    ]
    if rows:
        parts.append(table(("argument", "meaning"), rows))
    for action in within:
        parts += _subcommands(action, name)
    return "\n\n".join(parts)


def _subcommands(action: argparse._SubParsersAction, name: str) -> Iterator[str]:  # type: ignore[type-arg]
    helps = {choice.dest: choice.help or "" for choice in action._choices_actions}  # noqa: SLF001
    # Several names, the proper one first, have one parser.
    parsers = {parser: word for word, parser in reversed(action.choices.items())}
    for parser, word in reversed(parsers.items()):
        yield f"### {name.removeprefix('manage.py ')} {word}"
        yield _of(parser, f"{name} {word}", helps.get(word, ""))


def _usage(name: str, actions: list[argparse.Action]) -> str:
    places = [
        _PLACES.get(str(action.nargs), "{0}").format(_value(action))
        for action in actions
        if not action.option_strings
    ]
    options = [
        _shown(action) if action.required else f"[{_shown(action)}]"
        for action in actions
        if action.option_strings
    ]
    return " ".join([name, *places, *options])


_PLACES = {"*": "[{0} ...]", "+": "{0} [{0} ...]", "?": "[{0}]"}


def _shown(action: argparse.Action) -> str:
    """``--since TIME`` for an option; the argument's name for a positional argument."""
    if not action.option_strings:
        return _value(action)
    name = max(action.option_strings, key=len)
    if action.nargs == 0:
        return name
    return f"{name} {_value(action)}" + (" ..." if action.nargs in {"*", "+"} else "")


def _value(action: argparse.Action) -> str:
    if action.metavar:
        return str(action.metavar)
    if action.choices:
        return "|".join(map(str, action.choices))
    return action.dest.upper()


def _help(action: argparse.Action) -> str:
    text = (action.help or "").replace("%(default)s", str(action.default)).replace("%%", "%")
    several = isinstance(action, argparse._AppendAction)  # noqa: SLF001 - nothing else shows it
    return text + ("; may be repeated" if several and "repeat" not in text else "")
