"""Flower's page layout with our tab and our link added, and our templates beside Flower's."""

from pathlib import Path

import flower
from tornado.template import Loader, Template

OURS = Path(__file__).parent / "templates"
FLOWERS = Path(flower.__file__).parent / "templates"

_TAB = """<li class="nav-item">
          <a class="nav-link{% if active_tab == 'queues' %} active{% end %}"
            href="{{ reverse_url('queues') }}"
            {% if active_tab == 'queues' %}aria-current="page"{% end %}>Queues</a>
        </li>
      """
_LINK = """<a class="btn btn-outline-secondary" id="task-images"
        href="{{ reverse_url('job', task.uuid) }}">Images</a>
      """
_ADDED = {
    "navbar.html": ('</ul>\n\n      <ul class="app-nav app-nav-secondary', _TAB),
    "task.html": ("{% if not read_only %}", _LINK),
}
"""By name of a template of Flower's: the place, and the HTML that is inserted before it."""


class Layout(Loader):
    """Loads our templates, and Flower's templates with our additions."""

    def __init__(self) -> None:
        super().__init__(str(FLOWERS))

    def resolve_path(self, name: str, parent_path: str | None = None) -> str:
        """Return the name itself, because all templates lie at the root of the two folders."""
        del parent_path
        return name

    def _create_template(self, name: str) -> Template:
        folder = OURS if (OURS / name).is_file() else FLOWERS
        text = (folder / name).read_text()
        if name in _ADDED:
            place, added = _ADDED[name]
            if place not in text:
                raise LookupError(
                    f"Flower's template {name} has changed and does not contain {place!r}: "
                    "install the version of Flower that agewell pins"
                )
            text = text.replace(place, added + place, 1)
        return Template(text, name=name, loader=self)
