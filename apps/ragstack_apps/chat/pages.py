"""The process of the pages: Streamlit, set up to tell nobody anything and to fetch nothing."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from streamlit import net_util
from streamlit.web import bootstrap

from ragstack import registry
from ragstack_apps.chat.style import DARK, LIGHT

__all__ = ["options", "run"]

# What Streamlit and httpx import at their first use: for the icon, for a connection.
_LATE = ("numpy", "PIL.Image", "httpcore")
SCRIPT = Path(__file__).with_name("main.py")


def options(host: str, port: int, max_upload: int) -> dict[str, Any]:
    """Return Streamlit's settings; those of the user's own folder have no say over these."""
    themes = {f"theme.light.{name}": value for name, value in LIGHT.items()}
    themes |= {f"theme.dark.{name}": value for name, value in DARK.items()}
    return {
        "server.address": host,
        "server.port": port,
        "server.headless": True,
        "server.maxUploadSize": max_upload,
        "server.fileWatcherType": "none",
        "server.enableCORS": True,
        "server.enableXsrfProtection": True,
        "server.corsAllowedOrigins": [],
        "browser.gatherUsageStats": False,
        "browser.serverAddress": host,
        "runner.magicEnabled": False,
        "client.toolbarMode": "viewer",
        "client.showErrorDetails": "none",
        "client.showErrorLinks": False,
        "global.developmentMode": False,
        "theme.font": "sans-serif",
        "theme.headingFont": "sans-serif",
        "theme.codeFont": "monospace",
        "theme.fontFaces": [],
        "theme.headingFontSizes": ["2rem", "1.6rem", "1.3rem"],
        "theme.metricValueFontSize": "1.5rem",
        **themes,
    }


def run(host: str, port: str, max_upload: str) -> None:
    """Serve the pages until a signal says stop."""
    # It asks a service on the internet for this machine's address, to compare origins with it.
    net_util.get_external_ip = _nowhere
    _ready()
    given = options(host, int(port), int(max_upload))
    bootstrap.load_config_options(given)
    bootstrap.run(str(SCRIPT), False, [], given)


def _ready() -> None:
    """Import what draws a page while the server starts, so that nobody waits for it."""
    for name in registry.names("pages"):
        registry.load("pages", name)
    for name in _LATE:
        importlib.import_module(name)


def _nowhere() -> None:
    """Know no address but those of this machine's own network."""
