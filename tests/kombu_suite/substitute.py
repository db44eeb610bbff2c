"""A pytest plugin: kombu's tests get a connection class of ours wherever they ask for kombu's."""

import importlib
import os

import kombu

CONNECTION = "KOMBU_SUITE_CONNECTION"
"""The environment variable that names the class: its module, a colon, its name."""


def pytest_configure() -> None:
    """Replace the class before any test is imported."""
    module, _, name = os.environ[CONNECTION].partition(":")
    kombu.Connection = getattr(importlib.import_module(module), name)
