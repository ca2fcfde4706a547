"""Grammar of the statements in migrations, as far as it is needed to locate every name in them.

Forms from drizzle-kit's output: CREATE TYPE / TABLE / INDEX, ALTER TABLE / TYPE / INDEX, DROP TABLE / TYPE / INDEX,
INSERT, UPDATE, DELETE. Subqueries and everything else raise NotUnderstoodError.
"""

from __future__ import annotations

from collections.abc import Callable

from metamcp_deploy.patches.sql_reader import NotUnderstoodError, Reader
from metamcp_deploy.patches.sql_tokens import Token
from metamcp_deploy.patches.text_edits import Edit


def created_types(words: list[Token]) -> list[str]:
    """Names of the types a statement creates (or renames to)."""
    keys = [w.keyword for w in words]
    if keys[:2] == ["CREATE", "TYPE"]:
        qualified = len(words) > 4 and words[3].text == "."
        name = words[4 if qualified else 2].name if len(words) > 2 else None
        return [name] if name else []
    if keys[:2] == ["ALTER", "TYPE"] and keys[-3:-1] == ["RENAME", "TO"]:
        return [n for n in [words[-1].name] if n]
    return []


class Statement(Reader):
    """Reads one statement whole. Arguments are those of Reader."""

    def edits(self) -> list[Edit]:
        """All edits, in order.

        Raises:
            NotUnderstoodError: at the first token that fits no form.
        """
        forms: tuple[tuple[str, Callable[[], None]], ...] = (
            ("CREATE TYPE", self._create_type),
            ("CREATE TABLE", self._create_table),
            ("CREATE INDEX", self._create_index),
            ("CREATE UNIQUE INDEX", self._create_index),
            ("ALTER TABLE", self._alter_table),
            ("ALTER TYPE", self._alter_type),
            ("ALTER INDEX", self._alter_index),
            ("DROP TABLE", self._drop),
            ("DROP TYPE", self._drop),
            ("DROP INDEX", self._drop),
            ("INSERT INTO", self._insert),
            ("UPDATE", self._update),
            ("DELETE FROM", self._delete),
        )
        for keywords, read in forms:
            if self._take(keywords):
                read()
                if self._at < len(self._words):
                    self._fail()
                return self._edits
        raise NotUnderstoodError("is of a form this tool does not know", self._words[0].start)

    # -- statements

    def _create_type(self) -> None:
        self._name()
        self._need("AS ENUM")
        self._expression()

    def _create_table(self) -> None:
        self._take("IF NOT EXISTS")
        self._name()
        self._need("(")
        while True:
            if self._peek().keyword in ("CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"):
                self._expression(",", ")")
            else:
                self._column()
            if not self._take(","):
                break
        self._need(")")

    def _create_index(self) -> None:
        self._take("CONCURRENTLY")
        self._take("IF NOT EXISTS")
        if not self._take("ON"):
            self._identifier()  # an index is made in its table's schema and takes no qualifier
            self._need("ON")
        self._take("ONLY")
        self._name()
        self._expression()

    def _alter_table(self) -> None:
        self._take("IF EXISTS")
        self._take("ONLY")
        self._name()
        self._alteration()
        while self._take(","):
            self._alteration()

    def _alteration(self) -> None:
        if self._take("ADD"):
            self._add()
        elif self._take("DROP CONSTRAINT") or self._take("DROP COLUMN") or self._take("DROP"):
            self._take("IF EXISTS")
            self._identifier()
            self._cascade()
        elif self._take("ALTER COLUMN") or self._take("ALTER"):
            self._identifier()
            self._alter_column()
        elif self._take("RENAME CONSTRAINT") or self._take("RENAME COLUMN"):
            self._identifier()
            self._rename()
        elif self._take("RENAME"):
            if self._peek().keyword != "TO":
                self._identifier()
            self._rename()
        elif self._take("VALIDATE CONSTRAINT"):
            self._identifier()
        elif not any(
            self._take(f"{how} ROW LEVEL SECURITY") for how in ("ENABLE", "DISABLE", "FORCE", "NO FORCE")
        ):
            self._fail()

    def _add(self) -> None:
        if self._peek().keyword in ("CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"):
            self._expression(",")
            return
        self._take("COLUMN")
        self._take("IF NOT EXISTS")
        self._column(",")

    def _alter_column(self) -> None:
        if self._take("SET DATA TYPE") or self._take("TYPE"):
            self._type()
            self._expression(",")
        elif self._take("SET DEFAULT") or self._take("ADD GENERATED"):
            self._expression(",")
        elif not any(
            self._take(f) for f in ("DROP DEFAULT", "SET NOT NULL", "DROP NOT NULL", "DROP IDENTITY")
        ):
            self._fail()

    def _alter_type(self) -> None:
        self._name()
        if self._take("RENAME TO"):
            self._identifier()
        elif self._take("ADD VALUE") or self._take("RENAME VALUE"):
            self._expression()
        else:
            self._fail()

    def _alter_index(self) -> None:
        self._take("IF EXISTS")
        self._name()
        self._need("RENAME")
        self._rename()

    def _drop(self) -> None:
        self._take("CONCURRENTLY")
        self._take("IF EXISTS")
        self._name()
        while self._take(","):
            self._name()
        self._cascade()

    def _insert(self) -> None:
        self._name()
        if self._take("AS"):
            self._identifier()
        if self._peek().text == "(":
            self._parenthesis()
        if self._peek().keyword not in ("VALUES", "DEFAULT", "OVERRIDING"):
            self._fail()
        self._expression()

    def _update(self) -> None:
        self._take("ONLY")
        self._name()
        self._alias("SET")
        self._need("SET")
        self._expression(forbidden="FROM")

    def _delete(self) -> None:
        self._take("ONLY")
        self._name()
        self._alias("WHERE", "RETURNING", "USING")
        self._expression(forbidden="USING")

    def _column(self, *ends: str) -> None:
        if self._peek().keyword in ("LIKE", "EXCLUDE"):
            self._fail()
        self._identifier()
        self._type()
        self._expression(*(ends or (",", ")")))

    def _cascade(self) -> None:
        if not self._take("CASCADE"):
            self._take("RESTRICT")

    def _rename(self) -> None:
        self._need("TO")
        self._identifier()

    def _alias(self, *before: str) -> None:
        if self._take("AS") or (self._at < len(self._words) and self._peek().keyword not in before):
            self._identifier()
