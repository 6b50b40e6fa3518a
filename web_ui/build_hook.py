"""Builds the dashboard while the distribution is built, with Node from its PyPI wheel.

Skipped when the built page is already that of these sources, or when
``ICEMARGIN_SKIP_PAGE=1`` asks for back-end work only.
"""

import hashlib
import importlib.util
import os
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NOT_SOURCES = {"node_modules", "dist", "__pycache__"}
STAMP = ".sources.sha256"


def _digest(web_ui: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(web_ui.rglob("*")):
        parts = path.relative_to(web_ui).parts
        if path.is_file() and not NOT_SOURCES.intersection(parts):
            digest.update("/".join(parts).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _npm(web_ui: Path, *arguments: str) -> None:
    """``web_ui/npm.py``, by its path: the project is not installed while it is being built."""
    spec = importlib.util.spec_from_file_location("icemargin_npm", web_ui / "npm.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.npm(*arguments)


class PageBuildHook(BuildHookInterface[Any]):
    """hatchling's hook; see the module's docstring."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Build ``web_ui/dist`` unless it is up to date."""
        web_ui = Path(self.root) / "web_ui"
        stamp = web_ui / "dist" / STAMP
        if os.environ.get("ICEMARGIN_SKIP_PAGE") == "1":
            return
        digest = _digest(web_ui)
        if stamp.exists() and stamp.read_text() == digest:
            return
        _npm(web_ui, "ci", "--no-audit", "--no-fund")
        _npm(web_ui, "run", "build")
        stamp.write_text(digest)
