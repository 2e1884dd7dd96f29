"""How units are written: rows, one unit alone, many in one transaction."""
