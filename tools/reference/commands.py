"""The commands, from their own parsers."""

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
    for one in parser._actions:  # noqa: SLF001 - there is no other way to ask
        if isinstance(one, argparse._SubParsersAction):  # noqa: SLF001
            for inner in one.choices.values():
                yield from arguments(inner)
        elif one.dest not in _DJANGO:
            yield one


def _command(name: str) -> str:
    command = load_command_class(get_commands()[name], name)
    parser = command.create_parser("manage.py", name)
    return f"## {name}\n\n{_of(parser, f'manage.py {name}', command.help)}"


def _of(parser: argparse.ArgumentParser, name: str, meaning: str) -> str:
    actions = [one for one in parser._actions if one.dest not in _DJANGO]  # noqa: SLF001 - no other way
    parts = [sentence(meaning)] if meaning else []
    within = [one for one in actions if isinstance(one, argparse._SubParsersAction)]  # noqa: SLF001
    if not within:
        parts.append(f"```\npython {_usage(name, actions)}\n```")
    rows = [(code(_shown(one)), plain(_help(one))) for one in actions if one not in within]
    if rows:
        parts.append(table(("argument", "meaning"), rows))
    for one in within:
        parts += _subcommands(one, name)
    return "\n\n".join(parts)


def _subcommands(action: argparse._SubParsersAction, name: str) -> Iterator[str]:  # type: ignore[type-arg]
    helps = {one.dest: one.help or "" for one in action._choices_actions}  # noqa: SLF001
    for word, parser in action.choices.items():
        yield f"### {name.removeprefix('manage.py ')} {word}"
        yield _of(parser, f"{name} {word}", helps.get(word, ""))


def _usage(name: str, actions: list[argparse.Action]) -> str:
    places = [
        _PLACES.get(str(one.nargs), "{0}").format(_value(one))
        for one in actions
        if not one.option_strings
    ]
    options = [
        _shown(one) if one.required else f"[{_shown(one)}]" for one in actions if one.option_strings
    ]
    return " ".join([name, *places, *options])


_PLACES = {"*": "[{0} ...]", "+": "{0} [{0} ...]", "?": "[{0}]"}


def _shown(action: argparse.Action) -> str:
    """``--since TIME``, or the name of what stands without an option's name."""
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
        return "|".join(str(one) for one in action.choices)
    return action.dest.upper()


def _help(action: argparse.Action) -> str:
    text = (action.help or "").replace("%(default)s", str(action.default)).replace("%%", "%")
    several = isinstance(action, argparse._AppendAction)  # noqa: SLF001 - told by nothing else
    return text + ("; may be repeated" if several and "repeat" not in text else "")
