"""README is short, links lead somewhere, commands take their arguments, the site is strict."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import jsonschema
import pytest
import yaml
from django.core.management import get_commands, load_command_class

from tests.documentation import README, ROOT, blocks, pages, text
from tools.reference import yaml_files

#: A link of Markdown: its target up to the anchor.
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")


def commands() -> list[str]:
    """Calls of manage.py that are written out with their arguments, in blocks and in sentences."""
    in_blocks = re.findall(r"^python manage\.py ([^\n>)]+)", text(), re.MULTILINE)
    in_sentences = re.findall(r"`(?:python )?manage\.py\s([^`]+)`", text())
    found = {" ".join(one.split()) for one in [*in_blocks, *in_sentences]}
    # A sketch leaves arguments open, or names the command and nothing more.
    return sorted(one for one in found if " " in one and not re.search(r"[…\[$|]", one))


def examples() -> list[str]:
    """Parts of a tenant's file that pages show."""
    found = re.findall(r"^```yaml\n(.*?)^```", text(), re.DOTALL | re.MULTILINE)
    return [one for one in found if one.startswith(("connections:", "tables:", "queries:"))]


def test_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) < 150


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_every_link_of_a_file_in_the_root_leads_to_a_file(name: str) -> None:
    targets = LINK.findall((ROOT / name).read_text())
    inside = [target for target in targets if "://" not in target]
    assert [target for target in inside if not (ROOT / target).exists()] == []


def test_readmes_commands_stand_in_the_tutorial_where_they_are_run() -> None:
    (block,) = blocks("in the tutorial")
    lines = [re.sub(r"\s+# .*", "", line) for line in block.splitlines()]
    tutorial = "\n".join(blocks("run")).splitlines()
    assert len(lines) > 5
    assert [line for line in lines if line not in tutorial] == []


def test_every_make_target_exists() -> None:
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make (?:-s )?([a-z-]+)", text(), re.MULTILINE))
    assert len(named) > 10
    assert named - known == set()


@pytest.mark.parametrize("line", commands())
def test_every_command_takes_its_arguments(line: str) -> None:
    name, *arguments = shlex.split(line, comments=True)
    command = load_command_class(get_commands()[name], name)
    # Called from code, a parser raises where by hand it would print and exit.
    command._called_from_command_line = False
    command.create_parser("manage.py", name).parse_args(arguments)


@pytest.mark.parametrize("block", examples(), ids=lambda block: block.partition(":")[0])
def test_every_example_of_configuration_follows_the_schema(block: str) -> None:
    part = yaml.safe_load(block)
    jsonschema.validate({"tenants": [{"slug": "shop", **part}]}, yaml_files.schema())


def test_every_page_is_in_the_navigation() -> None:
    assert sorted(pages()) == sorted((ROOT / "docs").rglob("*.md"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` does: a broken link, anchor or snippet fails."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


class Loaded(HTMLParser):
    """Collects what a browser loads with a page from another host."""

    def __init__(self) -> None:
        super().__init__()
        self.foreign: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            return
        for name, value in attrs:
            if name in {"src", "href"} and value and re.match(r"(https?:)?//", value):
                self.foreign.append(value)


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    rendered = sorted(site.rglob("*.html"))
    assert len(rendered) >= len(pages())
    for page in rendered:
        parser = Loaded()
        parser.feed(page.read_text())
        assert parser.foreign == [], page
