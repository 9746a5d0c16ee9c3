"""What a verb of the command is."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from pipeline.files import BadInput


class Parser(argparse.ArgumentParser):
    """A mistake is one line."""

    def error(self, message: str) -> NoReturn:
        """Ends with status 2."""
        raise BadInput(f"{self.prog}: {message}; `{self.prog} -h` says more")


@dataclass(frozen=True)
class Verb:
    """A verb of the command.

    Attributes:
        do: takes what was parsed, returns the exit status.
        what: it does, in one line.
        example: a command line.
        arguments: adds the verb's own to a parser.
        more: further lines of its help.
        mixed: whether overrides may stand behind options.
    """

    do: Callable[[argparse.Namespace], int]
    what: str
    example: str
    arguments: Callable[[Parser], None]
    more: str = ""
    mixed: bool = False

    def parser(self, name: str) -> Parser:
        """The verb's command line."""
        parser = Parser(
            prog=f"medsecure {name}",
            description=f"{self.what}\n{self.more}",
            epilog=f"example:\n  {self.example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self.arguments(parser)
        return parser

    def parsed(self, name: str, arguments: list[str]) -> argparse.Namespace:
        """What a command line says."""
        parser = self.parser(name)
        return (
            parser.parse_intermixed_args(arguments) if self.mixed else parser.parse_args(arguments)
        )
