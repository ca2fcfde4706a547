"""How results look as text: rows, tables, times."""
