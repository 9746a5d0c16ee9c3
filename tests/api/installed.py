"""medsecure installed into an environment of its own, beside the libraries of this one."""

import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from shutil import copy2

import tiny

# What belongs to this checkout, or to whoever runs the tests.
NOT_INHERITED = ("PYTHONPATH", "DVC_ROOT", "DVC_STAGE", "MLFLOW_TRACKING_URI", "PYTHONSAFEPATH")
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]


def environment():
    """Of a person's shell, who knows nothing of this checkout."""
    known = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
    here = os.path.dirname(sys.executable)
    path = [one for one in known["PATH"].split(os.pathsep) if one != here]
    return known | {"OMP_NUM_THREADS": "1", "PATH": os.pathsep.join(path)}


@dataclass(frozen=True)
class Installed:
    """An environment, by its folder."""

    place: Path

    @property
    def packages(self):
        """Where distributions are installed."""
        (found,) = self.place.glob("lib/python*/site-packages")
        return found

    def run(self, folder, program, *arguments):
        """A program of this environment, in a folder."""
        return subprocess.run(
            [self.place / "bin" / program, *arguments],
            cwd=folder,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )

    def well(self, folder, program, *arguments):
        """What a program says that must end well."""
        done = self.run(folder, program, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def sources(place):
    """The files that git tracks or would track here, but for pages and tests."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=tiny.ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    for name in filter(None, listed):
        if not name.startswith(("docs/", "tests/", "benchmarks/")) and (tiny.ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            copy2(tiny.ROOT / name, place / name)
    return place


def build_wheel(source, folder):
    """The wheel of a source tree, made without the network."""
    built = [*PIP, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, source]
    subprocess.run(built, env=environment(), check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(place, *what):
    """An empty environment with one distribution; libraries are those of this environment."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    made = Installed(place)
    libraries = sysconfig.get_path("purelib")
    # Last on the path; the links that editable installs left there are not followed.
    (made.packages / "libraries.pth").write_text(f"{libraries}\n")
    python = ["--python", str(place / "bin" / "python")]
    # --ignore-installed: medsecure may be among the libraries, and stays there as it is
    options = ["--no-deps", "--no-index", "--no-build-isolation", "--ignore-installed"]
    subprocess.run([*PIP, *python, "install", *options, *what], env=environment(), check=True)
    return made
