"""This environment once more, in a path that shells and splitters of commands stumble over."""

import site
import subprocess
import sys
import sysconfig
from pathlib import Path

BLANK = "Aren\u0303a of Jos\u00e9's"  # blanks, a quote, accents


def python_at(folder):
    """A Python of that folder with the packages of this one."""
    place = folder / BLANK
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    paths = {"base": str(place), "platbase": str(place)}
    packages = sysconfig.get_path("purelib", "venv", paths)
    ours = [one for one in sys.path if one.endswith("-packages")]
    lines = [f"import site; site.addsitedir({one!r})" for one in ours or site.getsitepackages()]
    (Path(packages) / "ours.pth").write_text("\n".join(lines), encoding="utf-8")
    return place / "bin" / "python"
