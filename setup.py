"""What pyproject.toml cannot say: two folders travel under other names than they have here.

`medsecure`, the names for notebooks and the command, is `pipeline/api`. `conf/`, `dvc.yaml` and
how `.dvc/plots/` draws lie at the root, where people edit them; the wheel holds them inside the
package.
"""

from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
NO_CODE = [
    ROOT / "dvc.yaml",
    *sorted((ROOT / "conf").rglob("*.yaml")),
    *sorted((ROOT / ".dvc" / "plots").iterdir()),
]


class BuildWithConf(build_py):
    """The package, and what of it is no code; an editable install finds that where it lies."""

    def run(self) -> None:
        """Copies the package, then the rest."""
        super().run()
        if self.editable_mode:
            return
        inside = Path(self.build_lib) / "pipeline"
        for file in NO_CODE:
            place = inside / file.relative_to(ROOT)
            place.parent.mkdir(parents=True, exist_ok=True)
            self.copy_file(str(file), str(place))
        (inside / "conf" / "__init__.py").touch()  # Hydra's `pkg://pipeline.conf` looks for it

    def get_source_files(self) -> list[str]:
        """What a source distribution needs beside the modules."""
        return [*super().get_source_files(), *(str(file.relative_to(ROOT)) for file in NO_CODE)]


setup(
    packages=[*find_packages(include=["pipeline*"]), "medsecure"],
    package_dir={"medsecure": "pipeline/api"},
    cmdclass={"build_py": BuildWithConf},
)
