"""The generated pages and modules are those that the code makes."""

from pathlib import Path

import pytest
import typer.main

from agewell.producer.cli.main import app
from agewell.shared.setting_names import PREFIX
from agewell.shared.settings import Settings
from docs.generate import modules, pages
from tests.docs.prose import ROOT

PAGES = pages()
FILES = PAGES | modules()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_generated_file_is_the_one_that_the_code_makes(path: Path):
    assert path.read_text() == FILES[path], "run `make generate`"


def test_the_reference_has_every_command_and_every_option():
    page = PAGES[ROOT / "docs" / "cli.md"]
    commands = {"agewell": typer.main.get_command(app)}
    while commands:
        name, command = commands.popitem()
        commands |= {
            f"{name} {sub}": each for sub, each in getattr(command, "commands", {}).items()
        }
        if name == "agewell":
            continue
        assert f"### {name}\n" in page
        for parameter in command.params:
            if parameter.param_type_name == "option":
                assert all(option in page for option in parameter.opts)


def test_the_settings_have_every_setting_with_its_description():
    page = PAGES[ROOT / "docs" / "settings.md"]
    for name, field in Settings.model_fields.items():
        assert f"`{PREFIX}{name.upper()}`" in page
        assert field.description


def test_the_pages_are_the_same_on_every_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    for name, value in {"COLUMNS": "40", "XDG_STATE_HOME": str(tmp_path), "HOME": "/x"}.items():
        monkeypatch.setenv(name, value)
    assert pages() == PAGES
