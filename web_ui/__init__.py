"""The built dashboard, as files to serve; only building its TypeScript sources needs Node."""

from pathlib import Path

PAGE = Path(__file__).parent / "dist"
"""Folder of the built page (``index.html`` and its assets)."""
