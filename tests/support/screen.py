"""Enough of a terminal to see what a person sees."""

import re


class Screen:
    """Enough of a terminal to see what a person sees."""

    def __init__(self, columns: int = 90) -> None:
        self.columns = columns
        self.lines = [""]
        self.row = self.column = 0

    def write(self, text: str) -> None:
        for sign in re.findall(r"\x1b\[[0-9;]*[A-Za-z]|.|\n|\r", text):
            if sign == "\r":
                self.column = 0
            elif sign == "\n":
                self.row += 1
                self.lines += [""] * (self.row + 1 - len(self.lines))
            elif sign == "\x1b[A":
                self.row -= 1
            elif sign == "\x1b[K":
                self.lines[self.row] = self.lines[self.row][: self.column]
            else:
                assert not sign.startswith("\x1b"), f"unknown control sequence {sign!r}"
                assert self.column < self.columns, f"wider than the terminal: {self.shown}"
                line = self.lines[self.row].ljust(self.column)
                self.lines[self.row] = line[: self.column] + sign + line[self.column + 1 :]
                self.column += 1

    @property
    def shown(self) -> list[str]:
        return [line.rstrip() for line in self.lines if line.strip()]
