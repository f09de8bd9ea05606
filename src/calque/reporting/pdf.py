"""A report as PDF, printed by a browser that is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from calque.errors import InputError, ResourceError
from calque.io.atomic import atomic_path

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")

_SECONDS = 180


def find_browser() -> Path:
    """The first of `BROWSERS` on the path.

    Raises:
        InputError: there is none.
    """
    for name in BROWSERS:
        found = shutil.which(name)
        if found is not None:
            return Path(found)
    raise InputError(
        "There is no browser to print with",
        expected=f"one of {', '.join(BROWSERS)}",
        fix="install Chromium or Chrome; or open the HTML file and print it from any browser",
    )


def print_pdf(page: Path | str, output: Path | str | None = None) -> Path:
    """Print an HTML file as PDF.

    Args:
        page: the file.
        output: by default beside it, with the suffix .pdf.

    Raises:
        InputError: no browser is installed.
        ResourceError: the browser failed or took more than three minutes.
    """
    page = Path(page).resolve()
    output = page.with_suffix(".pdf") if output is None else Path(output)
    browser = find_browser()
    with tempfile.TemporaryDirectory(prefix="calque-") as profile, atomic_path(output) as aside:
        command = [
            str(browser), "--headless=new", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage",
            f"--user-data-dir={profile}", "--no-pdf-header-footer", f"--print-to-pdf={aside}", page.as_uri(),
        ]  # fmt: skip
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.insert(1, "--no-sandbox")  # Chromium does not start as root with it; the page is our own
        try:
            done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)  # noqa: S603
        except (OSError, subprocess.TimeoutExpired) as problem:
            raise ResourceError("The browser did not print", where=browser, got=problem) from None
        if done.returncode != 0 or not aside.is_file() or not aside.stat().st_size:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise ResourceError(
                "The browser did not print", where=browser, got=said[-1] if said else "nothing"
            )
    return output
